"""Which picture of one folder belongs to which of another: the one pairing that all commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from cmmdl.errors import UsageError, UserError
from cmmdl.files.clocks import APART, pair_by_clock
from cmmdl.files.images import Note
from cmmdl.files.listing import Found, composed, list_pictures
from cmmdl.files.marks import find_marks
from cmmdl.files.naming import AS_FOUND, WHOLE, Naming, Reading


def quiet(text: str) -> None:
    """Says nothing."""


Files = dict[str, list[Found]]
"""Key -> the files that have it; more than one is trouble."""

Listed = tuple["Path | str", list[Found]]
"""A folder, and the pictures that it holds."""


@dataclass(frozen=True)
class Pair:
    """Two files of one key, and where their result goes."""

    stem: str
    ir: Path
    vis: Path
    out: Path


@dataclass(frozen=True)
class Alone:
    """A picture without partner.

    Attributes:
        key: What its partner's name would share.
        path: The file.
        missing: The side that lacks, ``"ir"`` or ``"vis"``.
        reason: One line, without the file.
    """

    key: str
    path: Path
    missing: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass
class Matched:
    """What two folders hold.

    Attributes:
        both: Key -> infrared and visible file, in the order of the keys; a key is a stem, or ``folder/stem``.
        alone: Pictures without partner.
        doubled: Key -> a line that says which files share it; they are left out.
    """

    both: dict[str, tuple[Path, Path]] = field(default_factory=dict)
    alone: list[Alone] = field(default_factory=list)
    doubled: dict[str, str] = field(default_factory=dict)

    @property
    def left_out(self) -> list[str]:
        """A line about each thing that was left out."""
        return [*self.doubled.values(), *map(str, self.alone)]


def match_folders(ir: Path, vis: Path, naming: Naming = AS_FOUND, *, note: Note = quiet) -> Matched:
    """Brings the pictures of two folders together by their names.

    Without a word about the names, files of one stem belong together; where more pairs come from names that differ in
    a usual mark (``IR_1`` and ``RGB_1``, ``1_T`` and ``1_V``), that is taken, and told to ``note``. Names are compared
    as normalised Unicode, in their case. What neither side's pattern fits does not count.

    Args:
        ir: Folder of infrared pictures.
        vis: Folder of visible pictures; may be the same one, if the names tell them apart.
        naming: What is known about the names.
        note: Called with a line about marks that were found, and about clocks that differ.

    Returns:
        The pairs, possibly none, and what was left out.

    Raises:
        UserError: If a folder cannot be listed.
        UsageError: If a folder is both sides and nothing tells its pictures apart.
    """
    one_folder = ir.resolve() == vis.resolve()
    first = list_pictures(ir, recursive=naming.recursive)
    second = first if one_folder else list_pictures(vis, recursive=naming.recursive)
    return match_listed((ir, first), (vis, second), naming, one_folder=one_folder, note=note)


def match_listed(
    one_side: Listed, other_side: Listed, naming: Naming = AS_FOUND, *, one_folder: bool = False, note: Note = quiet
) -> Matched:
    """Brings the pictures of two folders together that were listed already; as `match_folders`.

    Args:
        one_side: The folder of infrared pictures, as messages call it, and what it holds.
        other_side: The same of visible pictures.
        naming: What is known about the names.
        one_folder: Whether both are one folder.
        note: As in `match_folders`.

    Raises:
        UsageError: If a folder is both sides and nothing tells its pictures apart.
    """
    (ir, first), (vis, second) = one_side, other_side
    readings = _readings(ir, first, second, naming, one_folder, note)
    one, two, torn = _claim(first, second, readings, one_folder)
    _tell_unclaimed([*first, *second], [*one.values(), *two.values()], note)
    doubled = {**torn, **_doubled(ir, one), **_doubled(vis, two)}
    irs, visibles = ({key: files[key][0].path for key in files if key not in doubled} for files in (one, two))
    shots = _shots(irs, visibles, note)
    both = {key: (irs[key], visibles[key]) for key in irs.keys() & visibles.keys()}
    both |= {twin: (irs[key], visibles[twin]) for key, twin in shots.items()}
    alone = _alone(irs, both.keys() | shots.keys(), visibles, readings[1], vis, "vis")
    alone += _alone(visibles, both.keys(), irs, readings[0], ir, "ir")
    return Matched(dict(sorted(both.items())), alone, doubled)


def folder_of_both(
    folder: Path, out: Path, naming: Naming = AS_FOUND, *, suffix: str = ".png"
) -> tuple[list[Pair], list[str]]:
    """The files of a folder that each hold both pictures.

    Args:
        folder: The files.
        out: Folder of the results, another one.
        naming: Whether the folders below count too; what else it says of names means nothing here.
        suffix: Of the results, with its dot.

    Returns:
        Pairs whose two files are one, in the order of their stems, and lines about files that share a stem.

    Raises:
        UserError: If there is no picture.
    """
    if out.resolve() == folder.resolve():
        raise UsageError(f"{out} is the folder of inputs, results would mix with them; give another folder with -o")
    single, doubled = single_files((folder, list_pictures(folder, recursive=naming.recursive)))
    return [Pair(key, path, path, out / f"{key}{suffix}") for key, path in single.items()], doubled


def single_files(listed: Listed) -> tuple[dict[str, Path], list[str]]:
    """The files of a folder by their keys, in the order of these, and lines about those that share one.

    Raises:
        UserError: If there is no picture.
    """
    folder, pictures = listed
    files: Files = {}
    for found in pictures:
        files.setdefault(found.where + found.stem, []).append(found)
    if not files:
        raise UserError(f"{folder} contains no pictures; give the folder that does")
    doubled = _doubled(folder, files)
    return {key: files[key][0].path for key in sorted(files) if key not in doubled}, list(doubled.values())


def pair_folders(
    ir: Path,
    vis: Path,
    out: Path,
    naming: Naming = AS_FOUND,
    *,
    suffix: str = ".png",
    note: Note = quiet,
) -> tuple[list[Pair], list[str]]:
    """The pairs of two folders and where their results go; folders below are mirrored.

    Args:
        ir: As in `match_folders`.
        vis: As in `match_folders`.
        out: Folder of the results, not one of the two.
        naming: As in `match_folders`.
        suffix: Of the results, with its dot.
        note: As in `match_folders`.

    Returns:
        The pairs in the order of their keys, and a line about each picture that was left out.

    Raises:
        UserError: As `match_folders`, and if nothing pairs or results would lie among the inputs.
    """
    _check_out(ir, vis, out, naming.recursive)
    matched = match_folders(ir, vis, naming, note=note)
    if not matched.both:
        raise UserError(nothing_pairs(ir, vis, matched))
    pairs = [Pair(key, one, two, out / f"{key}{suffix}") for key, (one, two) in matched.both.items()]
    return pairs, matched.left_out


def existing(pairs: Sequence[Pair]) -> list[Pair]:
    """Those whose result is there, found by listing each folder of results once."""
    ignores_case = sys.platform in ("win32", "darwin")

    def name(text: str) -> str:
        return composed(text).casefold() if ignores_case else composed(text)

    places = [os.path.split(pair.out) for pair in pairs]
    there = {folder: {name(file) for file in _names_in(folder)} for folder in {folder for folder, _ in places}}
    return [pair for pair, (folder, file) in zip(pairs, places, strict=True) if name(file) in there[folder]]


def nothing_pairs(ir: Path | str, vis: Path | str, matched: Matched) -> str:
    """Why two folders gave no pair, and the way on."""
    if matched.doubled:
        return next(iter(matched.doubled.values()))
    examples = {side: next((one for one in matched.alone if one.missing != side), None) for side in ("ir", "vis")}
    for folder, side in ((ir, "ir"), (vis, "vis")):
        if examples[side] is None:
            return (
                f"{folder} contains no pictures of the {side} side; give the folder that does, "
                "look into the folders below with --recursive, or say how names begin with --ir-name 'IR_*'"
            )
    one, two = (example for example in examples.values() if example)
    return (
        f"no stem is in both {ir} (such as {one.path.name}) and {vis} (such as {two.path.name}); say how names differ "
        "with --ir-name 'IR_*' --vis-name 'RGB_*', or with --ir-suffix and --vis-suffix"
    )


def _check_out(ir: Path, vis: Path, out: Path, recursive: bool) -> None:
    """Refuses results that the next run would take for inputs."""
    place, inputs = out.resolve(), (ir.resolve(), vis.resolve())
    refuse_mixing(out, among=place in inputs, read=recursive and any(map(place.is_relative_to, inputs)))


def refuse_mixing(out: Path | str, *, among: bool, read: bool) -> None:
    """Refuses a folder of results that is one of inputs, or that lies where ``--recursive`` reads.

    Raises:
        UsageError: If so.
    """
    if among:
        raise UsageError(f"{out} is a folder of inputs, results would mix with them; give another folder with -o")
    if read:
        raise UsageError(f"{out} lies below a folder of inputs, which --recursive reads; give another one with -o")


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _readings(
    ir: Path | str, first: list[Found], second: list[Found], naming: Naming, one_folder: bool, note: Note
) -> tuple[Reading, Reading]:
    """How keys are read on both sides: as given, by a usual mark, or as whole stems."""
    if naming.given:
        patterns = naming.patterns(one_folder=one_folder)
        if one_folder and patterns[0] == patterns[1]:
            raise UsageError(f"{ir} is both folders, and both sides have the pattern {patterns[0]}; give two")
        return patterns
    marks = find_marks(first, second, one_folder=one_folder)
    if marks:
        note(f"names read as {marks[0]} for infrared and {marks[1]} for visible; change it with --ir-name, --vis-name")
    elif one_folder:
        raise UsageError(
            f"{ir} is both folders; tell the pictures apart with --ir-name 'IR_*' --vis-name 'RGB_*', or with "
            "--ir-suffix _ir --vis-suffix _vis"
        )
    return marks or (WHOLE, WHOLE)


def _claim(
    first: list[Found], second: list[Found], readings: tuple[Reading, Reading], one_folder: bool
) -> tuple[Files, Files, dict[str, str]]:
    """The files of each side by key, and lines about those of a common folder that could be either."""
    one, two, torn = Files(), Files(), dict[str, str]()
    for found in first:
        mine, other = readings[0].key(found), readings[1].key(found) if one_folder else None
        if mine and other and readings[0].length == readings[1].length:
            torn[found.where + found.stem] = f"{found.path}: fits {readings[0]} and {readings[1]} alike, left out"
        elif mine and not (other and readings[1].length > readings[0].length):
            one.setdefault(found.where + mine, []).append(found)
        elif other:
            two.setdefault(found.where + other, []).append(found)
    for found in () if one_folder else second:
        if key := readings[1].key(found):
            two.setdefault(found.where + key, []).append(found)
    return one, two, torn


def _tell_unclaimed(listed: Iterable[Found], claimed: Iterable[list[Found]], note: Note) -> None:
    """A line about pictures that neither side claims."""
    known = {id(found) for files in claimed for found in files}
    others = list(dict.fromkeys(found.path.name for found in listed if id(found) not in known))
    if others:
        count = f"{len(others)} other pictures" if len(others) > 1 else "1 other picture"
        note(f"{count}, such as {others[0]}: neither infrared nor visible by name, not counted")


def _doubled(folder: Path | str, files: Files) -> dict[str, str]:
    """Key -> a line that names the files that share it."""
    lines = {}
    for key, several in files.items():
        if len(several) > 1:
            names = " and ".join(found.path.name for found in several)
            lines[key] = f"{folder}: {names} share the stem {key!r} and are left out; keep one of them"
    return lines


def _shots(one: dict[str, Path], two: dict[str, Path], note: Note) -> dict[str, str]:
    """Infrared key -> visible key of one shot, where the keys are not the same."""
    shots = pair_by_clock(one.keys() - two.keys(), two.keys() - one.keys())
    if shots:
        example = f"{one[min(shots)].name} with {two[shots[min(shots)]].name}"
        note(f"{len(shots)} paired by running number, clocks up to {APART.seconds} s apart, such as {example}")
    return shots


def _alone(
    files: dict[str, Path],
    paired: Set[str],
    others: dict[str, Path],
    reading: Reading,
    folder: Path | str,
    missing: str,
) -> list[Alone]:
    """The pictures of one side without partner; ``others``, ``reading`` and ``folder`` are the other side's."""
    by_case = {key.casefold(): path.name for key, path in others.items()}
    found = []
    for key in sorted(files.keys() - paired):
        where, slash, stem = key.rpartition("/")
        reason = f"no picture {where + slash + reading.named(stem)!r} in {folder}"
        if twin := by_case.get(key.casefold()):
            reason += f" ({twin} differs in capital letters; rename one)"
        found.append(Alone(key, files[key], missing, reason))
    return found
