"""Finding the pairs of a published layout in a list of paths."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from cmmdl.datasets.catalogue import DataSet, Layout
from cmmdl.errors import UserError
from cmmdl.files.images import IMAGE_SUFFIXES

Parts = tuple[str, ...]
Folders = dict[Parts, dict[str, list[str]]]
"""Folder, as parts in lower case -> stem -> paths inside the source, of pictures only."""


@dataclass(frozen=True)
class Split:
    """One split as it lies in the source.

    Attributes:
        name: ``train``, ``test`` or ``all``.
        first: Stem -> path of the first side.
        second: The same of the second.
    """

    name: str
    first: dict[str, str]
    second: dict[str, str]

    @property
    def pairs(self) -> list[str]:
        """Stems that both sides have, sorted."""
        return sorted(self.first.keys() & self.second.keys())

    @property
    def unpaired(self) -> list[str]:
        """Paths without a partner, sorted."""
        alone = self.first.keys() ^ self.second.keys()
        return sorted(files[stem] for files in (self.first, self.second) for stem in files.keys() & alone)


def find_splits(paths: Iterable[str], data: DataSet, source: str) -> list[Split]:
    """Finds the splits of a data set below whatever folder holds them.

    Args:
        paths: Inside the source, with ``/`` between parts.
        data: Says which folders to look for; their case does not matter.
        source: Name for messages.

    Returns:
        The splits that are there with at least one pair each.

    Raises:
        UserError: If the folders are not there, or more than once.
    """
    folders = _pictures_by_folder(paths)
    for layout in data.layouts:
        places = _places(folders, layout)
        if len(places) > 1:
            found = " and ".join("/".join(place) or "the top" for place in sorted(places)[:3])
            raise UserError(f"{source}: folders of {data.title} lie in {found}; unpack it and give the one you mean")
        if places:
            return _splits_at(folders, layout, places.pop(), source)
    raise UserError(_not_found(folders, data, source))


def _pictures_by_folder(paths: Iterable[str]) -> Folders:
    folders: Folders = {}
    for text in sorted(paths):
        path = PurePosixPath(text)
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        folder = tuple(part.lower() for part in path.parent.parts)
        folders.setdefault(folder, {}).setdefault(path.stem, []).append(text)
    return folders


def _places(folders: Folders, layout: Layout) -> set[Parts]:
    """What stands before the folders of a layout, wherever both sides of one of its splits are."""
    places = set[Parts]()
    for sides in layout.values():
        first, second = map(_parts, sides)
        ends = {folder[: -len(first)] for folder in folders if folder[-len(first) :] == first}
        places |= {place for place in ends if _common(folders, place + first, place + second)}
    return places


def _splits_at(folders: Folders, layout: Layout, place: Parts, source: str) -> list[Split]:
    splits = []
    for name, sides in layout.items():
        first, second = (place + _parts(side) for side in sides)
        if _common(folders, first, second):
            splits.append(Split(name, _one_a_stem(folders[first], source), _one_a_stem(folders[second], source)))
    return splits


def _one_a_stem(files: dict[str, list[str]], source: str) -> dict[str, str]:
    """Stem -> path; two of one stem would be two partners of one picture."""
    for paths in files.values():
        if len(paths) > 1:
            raise UserError(
                f"{source}: {paths[0]} and {paths[1]} share a stem; unpack it if it is an archive, remove one of them, "
                "and give the folder"
            )
    return {stem: paths[0] for stem, paths in files.items()}


def _common(folders: Folders, first: Parts, second: Parts) -> bool:
    return bool(folders.get(first, {}).keys() & folders.get(second, {}).keys())


def _parts(folder: str) -> Parts:
    return tuple(folder.lower().split("/"))


def _not_found(folders: Folders, data: DataSet, source: str) -> str:
    """What was looked for and what is there."""
    wanted = " or ".join(
        ", ".join(f"{first} with {second}" for first, second in layout.values()) for layout in data.layouts
    )
    there = ", ".join("/".join(folder) or "the top" for folder in sorted(folders)[:6]) or "no pictures at all"
    more = ", ..." if len(folders) > 6 else ""
    return (
        f"{source} does not look like {data.title}: expected pairs with the same stem in {wanted}; pictures are in "
        f"{there}{more}; see `cmmdl data list {data.name}`"
    )
