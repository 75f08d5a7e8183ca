"""Reading settings: defaults, TOML files over them, ``--set a.b=c`` over that; any mistake in one line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from cmmdl.errors import UsageError, UserError
from cmmdl.models.networks import NETWORKS
from cmmdl.training.config import TrainConfig, did_you_mean

OPTION = "--set"


def load_config(file: Path | None = None, overrides: Sequence[str] = (), **tables: Any) -> TrainConfig:
    """Read, override and check a configuration.

    Args:
        file: TOML file, which may start from another (``base = "other.toml"``); None means defaults.
        overrides: ``section.key=value`` with the value in TOML; a bare word is taken as a string.
        tables: Tables laid over those of the file, before the overrides: ``data={"crop": 64}``.

    Returns:
        The checked configuration.

    Raises:
        UserError: One line naming the key, with the nearest name for one that does not exist.
    """
    given = read_config(file) if file else {}
    if file and isinstance(given.setdefault("run", {}), dict):
        given["run"].setdefault("folder", f"runs/{file.stem}")
    for name, values in tables.items():
        if values and isinstance(given.get(name, {}), dict):
            given = {**given, name: {**given.get(name, {}), **values}}
    config = validate(given, str(file or "configuration"))
    if not overrides:
        return config
    complete = {**config.model_dump(), "model": config.model.model_dump(exclude_unset=True)}  # fields differ by kind
    for override in overrides:
        assign(complete, override)
    return validate(complete, OPTION)


def validate(table: dict[str, Any], origin: str) -> TrainConfig:
    """Tables as a checked configuration; a UserError begins with ``origin``."""
    try:
        return TrainConfig.model_validate(table)
    except ValidationError as error:
        kind = UsageError if origin == OPTION else UserError
        raise kind(f"{origin}: {explain(error)}") from None


def read_config(file: Path, after: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The tables of a configuration laid over those of the file that its ``base`` names, and so on.

    Tables merge, lists and scalars replace. A path in ``base`` is relative to the file that it stands in. The run
    folder is never that of the base: two runs in one folder would take each other for themselves.

    Args:
        file: The TOML file.
        after: The files that led here.

    Raises:
        UserError: If a file cannot be read, or files are each other's base.
    """
    if file.resolve() in after:
        names = " -> ".join(path.name for path in (*after, file))
        raise UserError(f"{file}: these configurations name each other as base ({names}); remove one base")
    own = read_toml(file)
    base = own.pop("base", None)
    if base is None:
        return own
    if not isinstance(base, str) or not base:
        raise UserError(f'{file}: base = {base!r} is not a path; write base = "other.toml"')
    other = file.parent / base
    if not other.is_file():
        raise UserError(f"{file}: base = {base!r}: there is no file {other}")
    below = read_config(other, (*after, file.resolve()))
    if isinstance(below.get("run"), dict):
        below["run"].pop("folder", None)
    return merge(below, own)


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Nested tables laid over others: tables merge, everything else replaces."""
    both = {
        name: merge(below[name], value) if isinstance(value, dict) and isinstance(below[name], dict) else value
        for name, value in above.items()
        if name in below
    }
    return {**below, **above, **both}


def read_toml(file: Path) -> dict[str, Any]:
    """The tables of a TOML file; a UserError names the file and the line that cannot be read."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: not a TOML file: {error}") from None
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}: give an existing TOML file") from None


def assign(table: dict[str, Any], override: str) -> None:
    """Put the value of ``optim.lr=3e-4`` into nested tables, in place."""
    key, equals, text = override.partition("=")
    *path, last = (part.strip() for part in key.split("."))
    if not equals or not last or not all(path):
        raise UsageError(f"--set {override}: write section.key=value, for example optim.lr=3e-4")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    for part in path:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise UsageError(f"--set {override}: {part!r} is not a table")
    table[last] = value


def explain(error: ValidationError) -> str:
    """The first problem of a failed validation in one line."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"] if part not in NETWORKS)
    if problem["type"] == "extra_forbidden":
        others = tuple(name for name in setting_names(TrainConfig) if name != key)  # another network may have it
        return f"no setting {key!r}{did_you_mean(key, others)}"
    what = problem["msg"].removeprefix("Value error, ")
    return f"{key} = {problem['input']!r}: {what}" if key else what


def setting_names(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every dotted key below a section, tables included."""
    for name, info in section.model_fields.items():
        yield prefix + name
        listed = get_origin(info.annotation) is tuple
        for kind in _kinds(info.annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from setting_names(kind, f"{prefix}{name}." + ("0." if listed else ""))


def _kinds(annotation: Any) -> Iterator[Any]:
    """A type and all that it is put together of."""
    yield annotation
    for part in get_args(annotation):
        yield from _kinds(part)
