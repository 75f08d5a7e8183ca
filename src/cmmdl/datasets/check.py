"""Checks of folders of pairs: damaged, unpaired, of different sizes, blank, and in more than one set."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations, product
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cmmdl.align.check import Look, look
from cmmdl.datasets.catalogue import DataSet
from cmmdl.datasets.fingerprint import BITS, Fingerprint, distances, fingerprint_of
from cmmdl.datasets.placement import placement
from cmmdl.datasets.report import Finding, Report, SetSummary, counted
from cmmdl.errors import UsageError, UserError
from cmmdl.files.images import Note
from cmmdl.files.naming import AS_FOUND, Naming
from cmmdl.files.notes import ResultNote
from cmmdl.files.pairs import Alone, match_folders, quiet
from cmmdl.files.ranges import Given, RangeRule, settled
from cmmdl.files.reading import read_picture

SIDES = (
    *product(("ir", "infrared", "thermal", "lwir"), ("vis", "vi", "visible", "rgb")),
    *product(("mri",), ("ct", "pet", "spect")),
)
"""Names of the two folders of a set of pairs."""

SPLITS = ("train", "val", "test")
"""Sets of these names must not share pictures."""

ALIKE = 0.15
"""Part of the bits by which both pictures of a pair may differ from those of its near duplicate.

Neighbouring frames of MSRS and LLVIP differ by 0.06 to 0.13; of 350,000 couples of pairs from different data sets
none came below 0.34, and two views of one street in TNO lie at 0.18.
"""

_ROWS = 1024
"""Pairs that are compared with all others at once."""


@dataclass(frozen=True)
class PairSet:
    """Two folders of pictures that belong together by their names, or one folder for both sides."""

    name: str
    first: Path
    second: Path

    @property
    def sides(self) -> tuple[str, str]:
        """Names of the two sides: those of the folders."""
        return ("ir", "vis") if self.first == self.second else (self.first.name, self.second.name)


@dataclass
class Read:
    """A set that was read: the fingerprints of its sound pairs by stem, and what is wrong with the others."""

    name: str
    sides: tuple[str, str]
    pairs: dict[str, tuple[Fingerprint, Fingerprint]] = field(default_factory=dict)
    looks: dict[str, Look] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    unequal: dict[str, str] = field(default_factory=dict)
    unpaired: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)


def find_sets(folder: Path, naming: Naming = AS_FOUND) -> list[PairSet]:
    """The sets of pairs in a folder: its own ``ir`` and ``vis``, those of the folders in it, or the folder itself.

    Other usual names of the two are ``infrared``, ``thermal``, ``lwir`` and ``vi``, ``visible``, ``rgb``; medical
    pictures lie in ``mri`` and ``ct``, ``pet`` or ``spect``. The case of these names does not matter. A folder without
    them is a set if the names of the pictures in it tell both sides apart.

    Args:
        folder: Where to look.
        naming: How the names of pictures belong together; if it is recursive, folders are looked for in all depths.

    Raises:
        UserError: If there is none.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give one that holds ir and vis, or NAME/ir and NAME/vis")
    sets = [
        PairSet(place.resolve().name, inside[first], inside[second])
        for place, inside in _places(folder, naming.recursive)
        for first, second in SIDES
        if first in inside and second in inside
    ]
    if not sets and _tells_sides_apart(folder, naming):
        sets = [PairSet(folder.resolve().name, folder, folder)]
    if not sets:
        raise UserError(
            f"{folder} contains no pairs; it needs folders ir and vis (or mri and ct, pet, spect), or NAME/ir ..., or "
            "pictures that --ir-name 'IR_*' --vis-name 'RGB_*' tell apart"
        )
    return sets


def _places(folder: Path, recursive: bool) -> Iterator[tuple[Path, dict[str, Path]]]:
    """A folder and those in it, in all depths if asked, each with the folders that it holds."""
    inside = _folders_in(folder)
    yield folder, inside
    sides = {name for pair in SIDES for name in pair}
    for name, place in inside.items():
        if recursive and name not in sides and not place.is_symlink():
            yield from _places(place, recursive)
        elif not recursive:
            yield place, _folders_in(place)


def _tells_sides_apart(folder: Path, naming: Naming) -> bool:
    """Whether pictures of one folder make pairs."""
    try:
        return bool(match_folders(folder, folder, naming).both)
    except UsageError:
        if naming.given:
            raise
        return False


def _folders_in(place: Path) -> dict[str, Path]:
    """Name in lower case -> folder, sorted, hidden ones left out; a UserError if it cannot be listed."""
    try:
        found = [path for path in sorted(place.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{place}: cannot be listed ({error.strerror}); check its permissions") from error
    return {path.name.lower(): path for path in found}


def check_sets(
    sets: Sequence[PairSet],
    *,
    against: Sequence[PairSet] = (),
    data: DataSet | None = None,
    naming: Naming = AS_FOUND,
    workers: int | None = None,
    progress: bool = False,
    ir_range: Given = None,
    vis_range: Given = None,
    note: Note = quiet,
) -> Report:
    """Reads every picture of some sets and says what is wrong with them.

    Args:
        sets: What is checked.
        against: Others that must have no picture in common with them.
        data: Compare numbers and sizes with what is published of this.
        naming: How the names of pictures belong together.
        workers: Threads; by default one a core, eight at most.
        progress: Show a bar on standard error.
        ir_range: Which values of the first side mean black and white, as in :class:`cmmdl.Fuser`; for each set.
        vis_range: The same of the second side.
        note: Called with a line about how names were read, and about ranges.

    Raises:
        UserError: If a folder cannot be listed.
    """
    given = ir_range, vis_range
    read = read_sets([*sets, *against], naming, workers=workers, progress=progress, given=given, note=note)
    return report_on(read[: len(sets)], read[len(sets) :], data)


def read_sets(
    sets: Sequence[PairSet],
    naming: Naming = AS_FOUND,
    *,
    workers: int | None,
    progress: bool,
    given: tuple[Given, Given] = (None, None),
    note: Note = quiet,
) -> list[Read]:
    """Reads all pictures of some sets. Arguments as in `check_sets`."""
    matches = [match_folders(one.first, one.second, naming, note=note) for one in sets]
    results = [Read(one.name, one.sides) for one in sets]
    for result, one, matched in zip(results, sets, matches, strict=True):
        result.doubled = list(matched.doubled.values())
        result.unpaired = [_below(one, alone) for alone in matched.alone]
    jobs = [(number, stem, *files) for number, matched in enumerate(matches) for stem, files in matched.both.items()]
    rules = [_rules([*matched.both.values()], given, note) for matched in matches]
    pool = ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1))
    try:
        outcomes = pool.map(lambda job: _read_pair(job[2], job[3], rules[job[0]]), jobs)
        bar = tqdm(outcomes, total=len(jobs), unit=" pairs", disable=None if progress else True, leave=False)
        for (number, stem, *_), outcome in zip(jobs, bar, strict=True):
            _take(results[number], stem, outcome)
    finally:
        pool.shutdown(cancel_futures=True)
    return results


def _below(one: PairSet, alone: Alone) -> str:
    """A picture without partner by its place in the set: ``ir/name.png``."""
    folder = one.second if alone.missing == "ir" else one.first
    return alone.path.relative_to(folder.parent).as_posix()


def _rules(files: list[tuple[Path, Path]], given: tuple[Given, Given], note: Note) -> tuple[RangeRule, RangeRule]:
    """One range a side for the pairs of a set."""
    first, more = settled(given[0], [one for one, _ in files], "ir")
    second, yet_more = settled(given[1], [two for _, two in files], "vis")
    for text in (*more, *yet_more):
        note(ResultNote(text))
    return first, second


def _read_pair(
    first: Path, second: Path, rules: tuple[RangeRule, RangeRule]
) -> tuple[Fingerprint, Fingerprint, Look] | str:
    """Both fingerprints and how they lie on each other, or what is wrong."""
    try:
        one, two = read_picture(first), read_picture(second)
        prints = fingerprint_of(one, rules[0], "ir", str(first)), fingerprint_of(two, rules[1], "vis", str(second))
        return *prints, look(one.array, two.array)
    except UserError as error:
        return str(error)


def _take(read: Read, stem: str, outcome: tuple[Fingerprint, Fingerprint, Look] | str) -> None:
    if isinstance(outcome, str):
        read.bad[stem] = outcome
    elif outcome[0].size != outcome[1].size:
        sizes = [f"{side} {one.size[0]}x{one.size[1]}" for side, one in zip(read.sides, outcome[:2], strict=True)]
        read.unequal[stem] = f"{stem}: {', '.join(sizes)}"
    else:
        read.pairs[stem] = outcome[:2]
        read.looks[stem] = outcome[2]


def report_on(sets: Sequence[Read], against: Sequence[Read] = (), data: DataSet | None = None) -> Report:
    """All findings on sets that were read."""
    report = Report(sets=[_summary(one) for one in sets])
    report.alignment = [placement(one.name, one.looks) for one in sets if one.looks]
    for one in sets:
        report.problems += _own_problems(one)
        report.notes += _own_notes(one, data)
    if data:
        report.problems += _counts(sets, data)
    couples = [
        (one, two, one.name != two.name and {one.name, two.name} <= set(SPLITS)) for one, two in combinations(sets, 2)
    ]
    couples += [(one, other, True) for one in sets for other in against]
    for one, two, apart in couples:
        (report.problems if apart else report.notes).extend(_equal(one, two))
        report.notes += _alike(one, two)
    return report


def _summary(read: Read) -> SetSummary:
    sizes: dict[str, int] = {}
    for first, _ in read.pairs.values():
        text = f"{first.size[0]}x{first.size[1]}"
        sizes[text] = sizes.get(text, 0) + 1
    return SetSummary(read.name, read.sides, len(read.pairs), sizes)


def _own_problems(read: Read) -> Iterator[Finding]:
    if read.bad:
        yield Finding(
            "damaged", read.name, f"{counted(len(read.bad), 'pair')} cannot be read", tuple(read.bad.values())
        )
    if read.unequal:
        text = f"{counted(len(read.unequal), 'pair')} of two sizes; register them first"
        yield Finding("sizes", read.name, text, tuple(read.unequal.values()))
    if not (read.pairs or read.bad or read.unequal or read.unpaired or read.doubled):
        yield Finding("empty", read.name, "no picture in either folder; --recursive looks into the folders below")
    if read.doubled:
        yield Finding(
            "doubled", read.name, f"{counted(len(read.doubled), 'stem')} of more than one file", tuple(read.doubled)
        )
    if read.unpaired:
        yield Finding(
            "unpaired", read.name, f"{counted(len(read.unpaired), 'picture')} without partner", tuple(read.unpaired)
        )


def _own_notes(read: Read, data: DataSet | None) -> Iterator[Finding]:
    blank = [stem for stem, pair in read.pairs.items() if any(one.blank for one in pair)]
    if blank:
        yield Finding("blank", read.name, f"{counted(len(blank), 'pair')} with a picture of one value", tuple(blank))
    twins = [group for group in _by_pixels(read).values() if len({stem for stem, _ in group}) > 1]
    if twins:
        items = tuple(" = ".join(f"{side}/{stem}" for stem, side in group) for group in twins)
        yield Finding("duplicate", read.name, f"{counted(len(twins), 'picture')} more than once", items)
    if data and data.size:
        other = [stem for stem, (first, _) in read.pairs.items() if first.size != data.size]
        if other:
            text = f"{counted(len(other), 'pair')} not {data.size[0]}x{data.size[1]} as published"
            yield Finding("published size", read.name, text, tuple(other))


def _counts(sets: Sequence[Read], data: DataSet) -> Iterator[Finding]:
    """Numbers of pairs against the published ones; a split of one's own has to add up."""
    found = {one.name: len(one.pairs) for one in sets}
    published = dict(data.counts)
    if "all" in published and "all" not in found:
        found = {"all": sum(found.values())}
    for split, count in published.items():
        if found.get(split, 0) != count:
            text = f"{counted(found.get(split, 0), 'sound pair')}, {count} are published"
            yield Finding("count", split, f"{text}; get the whole set from {data.source}")


def _by_pixels(read: Read) -> dict[str, list[tuple[str, str]]]:
    """Pixel hash -> stems and sides; blank pictures are all alike and left out."""
    found: dict[str, list[tuple[str, str]]] = {}
    for stem, pair in read.pairs.items():
        for side, one in zip(read.sides, pair, strict=True):
            if not one.blank:
                found.setdefault(one.pixels, []).append((stem, side))
    return found


def _equal(one: Read, two: Read) -> Iterator[Finding]:
    """Pictures that both sets have, to the pixel."""
    first, second = _by_pixels(one), _by_pixels(two)
    items = []
    for pixels in first.keys() & second.keys():
        (stem, side), (twin, there) = first[pixels][0], second[pixels][0]
        items.append(f"{one.name}/{side}/{stem} = {two.name}/{there}/{twin}")
    if items:
        text = f"{counted(len(items), 'picture')} in both"
        yield Finding("duplicate", f"{one.name} and {two.name}", text, tuple(sorted(items)))


def _alike(one: Read, two: Read) -> Iterator[Finding]:
    """Pairs of which both pictures look like those of a pair in the other set, without being equal."""
    kinds = [[side[:2].lower() for side in read.sides] for read in (one, two)]
    if kinds[0] != kinds[1] or not one.pairs or not two.pairs:
        return
    stems, twins = list(one.pairs), list(two.pairs)
    items = []
    for stem, (column, bits) in zip(stems, nearest(one, two), strict=True):
        twin = twins[column]
        same = any(a.pixels == b.pixels for a, b in zip(one.pairs[stem], two.pairs[twin], strict=True))
        if bits <= ALIKE * BITS and not same:
            items.append(f"{one.name}/{stem} ~ {two.name}/{twin} ({bits} of {BITS} bits)")
    if items:
        text = f"{counted(len(items), 'pair')} look alike: frames of one film, or versions of one picture"
        yield Finding("near duplicate", f"{one.name} and {two.name}", text, tuple(items))


def nearest(one: Read, two: Read) -> Iterator[tuple[int, int]]:
    """For each pair of ``one`` the number of the nearest pair of ``two``, and the bits by which they differ.

    Two pairs are as far from each other as the pictures of that side which differ more.
    """
    first, second = (
        [np.stack([pair[side].signs for pair in read.pairs.values()]) for side in (0, 1)] for read in (one, two)
    )
    for start in range(0, len(first[0]), _ROWS):
        rows = slice(start, start + _ROWS)
        worst = np.maximum(*(distances(first[side][rows], second[side]) for side in (0, 1)))
        yield from ((int(row.argmin()), int(row.min())) for row in worst)
