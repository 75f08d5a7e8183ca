"""Which pictures can be scored: methods' results and their sources, brought together by stem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cmmdl.errors import UserError
from cmmdl.files.images import list_images
from cmmdl.files.pairs import list_sources


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
    *,
    fused_suffix: str = "",
    ir_suffix: str = "",
    vis_suffix: str = "",
) -> tuple[list[Scene], list[Exclusion]]:
    """Scenes that every folder has, and what the other stems lack.

    Args:
        methods: Name → folder of fused pictures.
        ir: Folder of infrared pictures.
        vis: Folder of visible pictures; may be that of the infrared ones if the suffixes tell them apart.
        fused_suffix: Taken off the end of fused stems that have it; ``{method}`` in it stands for the method's name.
        ir_suffix: Taken off the end of infrared stems that have it.
        vis_suffix: Taken off the end of visible stems that have it.

    Returns:
        Scenes in the order of their names, and one exclusion for each missing file.

    Raises:
        UserError: If something is no folder, two files of a folder share a stem, or no stem is common to all.
    """
    sources = dict(zip(("ir", "vis"), list_sources(Path(ir), Path(vis), ir_suffix, vis_suffix), strict=True))
    fused = {
        name: list_images(folder, strip=fused_suffix.replace("{method}", name)) for name, folder in methods.items()
    }
    stems = sorted(set().union(*sources.values(), *fused.values()))
    scenes, excluded = [], []
    for stem in stems:
        missing = [where for where, files in (*sources.items(), *fused.items()) if stem not in files]
        excluded += [Exclusion(stem, where, "there is no such file") for where in missing]
        if not missing:
            files = {name: found[stem] for name, found in fused.items()}
            scenes.append(Scene(stem, sources["ir"][stem], sources["vis"][stem], files))
    if not scenes:
        folders = ", ".join(str(folder) for folder in (ir, vis, *methods.values()))
        raise UserError(
            f"no file stem is common to {folders}; give a scene's files the same stem (01.png, 01.jpg), or strip "
            "what differs with --fused-suffix, --ir-suffix and --vis-suffix"
        )
    return scenes, excluded
