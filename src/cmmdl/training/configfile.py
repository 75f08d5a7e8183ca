"""Reading settings: defaults, a TOML file over them, ``--set a.b=c`` over that; any mistake in one line."""

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
        file: TOML file; None means defaults.
        overrides: ``section.key=value`` with the value in TOML; a bare word is taken as a string.
        tables: Tables laid over those of the file, before the overrides: ``data={"crop": 64}``.

    Returns:
        The checked configuration.

    Raises:
        UserError: One line naming the key, with the nearest name for one that does not exist.
    """
    given = read_toml(file) if file else {}
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
