"""Which pictures can be scored: methods' results and their sources, brought together by stem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cmmdl.errors import UserError
from cmmdl.files.images import Note
from cmmdl.files.listing import composed, list_pictures
from cmmdl.files.naming import AS_FOUND, Naming
from cmmdl.files.pairs import match_folders, quiet


@dataclass(frozen=True)
class Scene:
    """One scene: both sources and what each method made of them.

    Attributes:
        name: The stem that its files share.
        ir: Infrared file.
        vis: Visible file.
        fused: Method → its fused file.
    """

    name: str
    ir: Path
    vis: Path
    fused: Mapping[str, Path]


@dataclass(frozen=True)
class Exclusion:
    """A scene that was left out for all methods, and one reason for it.

    Attributes:
        picture: Its stem.
        source: Where the trouble is: ``"ir"``, ``"vis"`` or the method's name.
        reason: One line.
    """

    picture: str
    source: str
    reason: str

    def __str__(self) -> str:
        return f"{self.picture} ({self.source}): {self.reason}"


def find_scenes(
    methods: Mapping[str, str | Path],
    ir: str | Path,
    vis: str | Path,
    naming: Naming = AS_FOUND,
    *,
    fused_suffix: str = "",
    note: Note = quiet,
) -> tuple[list[Scene], list[Exclusion]]:
    """Scenes that every folder has, and what the other stems lack.

    Args:
        methods: Name → folder of fused pictures, named by what the names of their sources share.
        ir: Folder of infrared pictures.
        vis: Folder of visible pictures; may be that of the infrared ones if names tell them apart.
        naming: How the names of sources belong together.
        fused_suffix: Taken off the end of fused stems that have it; ``{method}`` in it stands for the method's name.
        note: Called with a line about how names were read.

    Returns:
        Scenes in the order of their names, and one exclusion for each missing or doubled file.

    Raises:
        UserError: If something is no folder, or no stem is common to all.
    """
    sources = match_folders(Path(ir), Path(vis), naming, note=note)
    fused = {
        name: _results(Path(folder), fused_suffix.replace("{method}", name), naming.recursive)
        for name, folder in methods.items()
    }
    sides = {"ir": set(sources.both), "vis": set(sources.both)}
    for one in sources.alone:
        sides["vis" if one.missing == "ir" else "ir"].add(one.key)
    excluded = [Exclusion(key, "sources", line) for key, line in sources.doubled.items()]
    scenes = []
    for key in sorted(set().union(*sides.values(), *fused.values()) - sources.doubled.keys()):
        lacking = [Exclusion(key, side, "there is no such file") for side, keys in sides.items() if key not in keys]
        lacking += [Exclusion(key, name, why) for name, files in fused.items() if (why := _trouble(files.get(key, [])))]
        if not lacking:
            scenes.append(Scene(key, *sources.both[key], {name: files[key][0] for name, files in fused.items()}))
        excluded += lacking
    if not scenes:
        raise UserError(_nothing_common([Path(ir), Path(vis), *map(Path, methods.values())]))
    return scenes, excluded


def _results(folder: Path, suffix: str, recursive: bool) -> dict[str, list[Path]]:
    """The fused pictures of a method by key."""
    found: dict[str, list[Path]] = {}
    for where, stem, path in list_pictures(folder, recursive=recursive):
        found.setdefault(where + (stem.removesuffix(composed(suffix)) or stem), []).append(path)
    return found


def _trouble(files: list[Path]) -> str:
    """Why a method's files of one stem cannot be scored; empty if it is one file."""
    if not files:
        return "there is no such file"
    return f"{' and '.join(path.name for path in files)} share this stem" if len(files) > 1 else ""


def _nothing_common(folders: list[Path]) -> str:
    return (
        f"no file stem is common to {', '.join(map(str, folders))}; name a scene's files alike (01.png, 01.jpg), or "
        "say how they differ: --ir-name 'IR_*' --vis-name 'RGB_*', or --ir-suffix, --vis-suffix and --fused-suffix"
    )
