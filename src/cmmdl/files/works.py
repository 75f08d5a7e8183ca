"""Pairs whose files may lie anywhere: the same pairing as of folders on this computer, by address."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cmmdl.errors import UserError
from cmmdl.files.addresses import as_path, is_remote, join, lies_below, list_folder, list_names, same_place
from cmmdl.files.images import Note
from cmmdl.files.listing import composed
from cmmdl.files.naming import AS_FOUND, Naming
from cmmdl.files.pairs import Matched, Pair, existing, match_listed, nothing_pairs, quiet, refuse_mixing, single_files


@dataclass(frozen=True)
class Work:
    """As `cmmdl.files.pairs.Pair`, with addresses."""

    stem: str
    ir: str
    vis: str
    out: str


@dataclass(frozen=True)
class Places:
    """Where the pictures are and the results go; ``vis`` is None where each file holds both pictures."""

    ir: str
    vis: str | None
    out: str


def pair_works(
    places: Places, naming: Naming = AS_FOUND, *, suffix: str = ".png", note: Note = quiet
) -> tuple[list[Work], list[str]]:
    """The pairs of two folders, or of one of files that hold both pictures, and where their results go.

    Args:
        places: The folders.
        naming: As in `cmmdl.files.pairs.match_folders`.
        suffix: Of the results, with its dot.
        note: As there.

    Returns:
        The pairs in the order of their keys, and a line about each picture that was left out.

    Raises:
        UserError: As `cmmdl.files.pairs.pair_folders`.
    """
    _check_out(places, naming.recursive)
    first = list_folder(places.ir, recursive=naming.recursive)

    def out(key: str) -> str:
        return join(places.out, f"{key}{suffix}")

    if places.vis is None:
        single, left_out = single_files((places.ir, first))
        files = {key: _address(places.ir, path) for key, path in single.items()}
        return [Work(key, file, file, out(key)) for key, file in files.items()], left_out
    one_folder = same_place(places.ir, places.vis)
    second = first if one_folder else list_folder(places.vis, recursive=naming.recursive)
    matched = match_listed((places.ir, first), (places.vis, second), naming, one_folder=one_folder, note=note)
    if not matched.both:
        raise UserError(nothing_pairs(places.ir, places.vis, matched))
    works = [
        Work(key, _address(places.ir, one), _address(places.vis, two), out(key))
        for key, (one, two) in matched.both.items()
    ]
    return works, _left_out(matched, places)


def existing_works(works: Sequence[Work], out: str) -> list[Work]:
    """Those whose result is there.

    Args:
        works: All lead into one folder.
        out: That folder.

    Raises:
        UserError: If it cannot be listed.
    """
    if is_remote(out):
        there = {composed(join(out, name)) for name in list_names(out, missing=True)}
        return [work for work in works if composed(work.out) in there]
    pairs = [Pair(work.stem, Path(work.ir), Path(work.vis), as_path(work.out)) for work in works]
    stems = {pair.stem for pair in existing(pairs)}
    return [work for work in works if work.stem in stems]


def brought(works: Sequence[Work], wanted: Sequence[int], folder: Path, read: Callable[[str], bytes]) -> list[Pair]:
    """The pairs as if all of their files were here, of which some are brought.

    Args:
        works: The pairs.
        wanted: The numbers of those that will be looked at.
        folder: Gets copies of their files, as far as they lie elsewhere.
        read: Gives the content of an address.

    Returns:
        A pair for each; files that are not wanted are not there.
    """
    pairs = [pair_here(work, folder / str(number)) for number, work in enumerate(works)]
    for number in wanted:
        bring(works[number], pairs[number], read)
    return pairs


def pair_here(work: Work, folder: Path) -> Pair:
    """Where the files of a pair lie on this computer: where they are, or in a folder that is to get copies."""
    ir, vis, out = (
        folder / side / address.rpartition("/")[2] if is_remote(address) else as_path(address)
        for side, address in (("ir", work.ir), ("vis", work.vis), ("out", work.out))
    )
    return Pair(work.stem, ir, ir if work.vis == work.ir else vis, out)


def bring(work: Work, pair: Pair, read: Callable[[str], bytes]) -> None:
    """Copies the files of a pair that lie elsewhere; one that cannot be read is not there.

    Raises:
        UserError: If one cannot be read.
    """
    for address, path in {work.ir: pair.ir, work.vis: pair.vis}.items():
        if is_remote(address):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(read(address))


def names_of(pair: Pair, work: Work) -> list[tuple[str, str]]:
    """Each file of a pair on this computer, and the address that was given for it."""
    return [(str(pair.ir), work.ir), (str(pair.vis), work.vis), (str(pair.out), work.out)]


def by_address(text: str, names: Iterable[tuple[str, str]]) -> str:
    """A message with the addresses that were given in place of the files here, as `names_of` has them."""
    for path, given in names:
        text = text.replace(path, given)
    return text


def _address(folder: str, path: Path) -> str:
    """Of a file that was listed; those of other computers are listed by their names."""
    return join(folder, path.as_posix()) if is_remote(folder) else str(path)


def _left_out(matched: Matched, places: Places) -> list[str]:
    """A line about each thing that was left out."""
    sides = {"vis": places.ir, "ir": places.vis or places.ir}
    alone = [f"{_address(sides[one.missing], one.path)}: {one.reason}" for one in matched.alone]
    return [*matched.doubled.values(), *alone]


def _check_out(places: Places, recursive: bool) -> None:
    """Refuses results that the next run would take for inputs."""
    inputs = [place for place in (places.ir, places.vis) if place is not None]
    refuse_mixing(
        places.out,
        among=any(same_place(places.out, place) for place in inputs),
        read=recursive and any(lies_below(places.out, place) for place in inputs),
    )
