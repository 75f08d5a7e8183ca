"""The public names with their signatures, one a line: ``python tests/public_api.py > api.txt`` writes them again."""

from __future__ import annotations

from pathlib import Path

import griffe

SOURCE = Path(__file__).resolve().parents[1] / "src"
NAMES = (
    "cmmdl.fusion.fuser.Fuser",
    "cmmdl.fusion.options.FuseOptions",
    "cmmdl.fusion.stream.fuse_stream",
    "cmmdl.weights.loading.load_model",
    "cmmdl.weights.cards.available_models",
    "cmmdl.weights.cards.ModelCard",
    "cmmdl.files.images.read_image",
    "cmmdl.files.images.write_image",
    "cmmdl.files.thermal.read_thermal",
    "cmmdl.files.thermal.Thermal",
    "cmmdl.align.registration.register",
    "cmmdl.align.transform.Alignment",
    "cmmdl.evaluate.folders.evaluate_folder",
    "cmmdl.evaluate.folders.evaluate_files",
    "cmmdl.metrics.score",
    "cmmdl.runtimes.export.model.export_model",
    "cmmdl.errors.UserError",
    "cmmdl.errors.UnreadableError",
    "cmmdl.errors.UnusableError",
    "cmmdl.errors.UnwritableError",
    "cmmdl.errors.UsageError",
)
"""What programs may build on; anything else may move."""


def listing() -> str:
    """Every public name, and the public methods and attributes of classes."""
    package = griffe.load("cmmdl", search_paths=[str(SOURCE)])
    lines: list[str] = []
    for path in NAMES:
        thing = package[path.removeprefix("cmmdl.")]
        thing = thing.final_target if thing.is_alias else thing
        lines += described(path, thing)
    return "\n".join(lines) + "\n"


def described(path: str, thing: griffe.Object) -> list[str]:
    """A name, and what a class has."""
    if isinstance(thing, griffe.Function):
        return [f"{path}({signature(thing)}) -> {thing.returns}"]
    if not isinstance(thing, griffe.Class):
        return [f"{path}: {getattr(thing, 'annotation', '')}"]
    lines = [f"class {path}({', '.join(str(base) for base in thing.bases)})"]
    for name, member in thing.members.items():
        public = not name.startswith("_") or name in ("__init__", "__call__")
        if public and not member.is_alias:
            lines += [f"  {line}" for line in described(name, member)]
    return lines


def signature(function: griffe.Function) -> str:
    """The arguments in a line; those behind the star are given by name only."""
    words, starred = [], False
    for one in (one for one in function.parameters if one.name != "self"):
        if one.kind is griffe.ParameterKind.keyword_only and not starred:
            words.append("*")
            starred = True
        words.append(f"{one.name}: {one.annotation}" + (f" = {one.default}" if one.default is not None else ""))
    return ", ".join(words)


if __name__ == "__main__":
    print(listing(), end="")
