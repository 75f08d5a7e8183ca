"""Pairing the pictures of two folders by file stem."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cmmdl.errors import UsageError, UserError
from cmmdl.files.images import list_images


@dataclass(frozen=True)
class Pair:
    """Two files of one stem, and where their result goes."""

    stem: str
    ir: Path
    vis: Path
    out: Path


def pair_folders(
    ir: Path, vis: Path, out: Path, *, ir_suffix: str = "", vis_suffix: str = "", suffix: str = ".png"
) -> tuple[list[Pair], list[str]]:
    """Pairs the pictures of two folders by stem.

    Args:
        ir: Folder of infrared pictures; may be the same as ``vis`` if the suffixes tell them apart.
        vis: Folder of visible pictures.
        out: Folder of the results, not one of the two.
        ir_suffix: Taken off the end of infrared stems that have it.
        vis_suffix: Taken off the end of visible stems that have it.
        suffix: Of the results, with its dot.

    Returns:
        The pairs in the order of their stems, and a line about each picture that has no partner.

    Raises:
        UserError: If two files of a folder share a stem, or nothing pairs.
    """
    if out.resolve() in (ir.resolve(), vis.resolve()):
        raise UsageError(f"{out} is a folder of inputs, results would mix with them; give another folder with -o")
    first, second = list_sources(ir, vis, ir_suffix, vis_suffix)
    both = sorted(first.keys() & second.keys())
    if not both:
        raise UserError(_nothing_pairs(ir, first, vis, second))
    alone = [f"{first[stem]}: no picture {stem!r} in {vis}" for stem in sorted(first.keys() - second.keys())]
    alone += [f"{second[stem]}: no picture {stem!r} in {ir}" for stem in sorted(second.keys() - first.keys())]
    return [Pair(stem, first[stem], second[stem], out / f"{stem}{suffix}") for stem in both], alone


def list_sources(ir: Path, vis: Path, ir_suffix: str, vis_suffix: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """The infrared and the visible pictures by stem, less the suffixes; both may lie in one folder.

    Raises:
        UserError: If two files of a side share a stem, or the suffixes of one folder are alike.
    """
    if ir.resolve() == vis.resolve():
        return _sides_of_one_folder(ir, ir_suffix, vis_suffix)
    return list_images(ir, strip=ir_suffix), list_images(vis, strip=vis_suffix)


def _sides_of_one_folder(folder: Path, ir_suffix: str, vis_suffix: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """Tells the two sides of one folder apart by what their stems end with."""
    if ir_suffix == vis_suffix:
        raise UsageError(f"{folder} is both folders; tell the pictures apart with --ir-suffix _ir --vis-suffix _vis")
    names = list_images(folder)
    longer, shorter = sorted((ir_suffix, vis_suffix), key=len, reverse=True)
    sides: dict[str, dict[str, Path]] = {longer: {}, shorter: {}}
    for stem, path in names.items():
        mark = longer if stem.endswith(longer) else shorter
        if stem.endswith(mark):
            sides[mark][stem.removesuffix(mark)] = path
    return sides[ir_suffix], sides[vis_suffix]


def _nothing_pairs(ir: Path, first: dict[str, Path], vis: Path, second: dict[str, Path]) -> str:
    for folder, found in ((ir, first), (vis, second)):
        if not found:
            return f"{folder} holds no png, jpg, bmp, tif or webp picture; give the folder that does"
    one, two = next(iter(first.values())).name, next(iter(second.values())).name
    return (
        f"no stem is in both {ir} (such as {one}) and {vis} (such as {two}); "
        "strip what differs with --ir-suffix and --vis-suffix"
    )
