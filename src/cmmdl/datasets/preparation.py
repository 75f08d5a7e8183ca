"""From a downloaded archive or folder to ``OUT/train/{ir,vis}`` and ``OUT/test/{ir,vis}``, whole or not at all."""

from __future__ import annotations

import difflib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from cmmdl.datasets.archive import copy_files, list_files, sha256_of
from cmmdl.datasets.catalogue import DataSet
from cmmdl.datasets.check import PairSet, Read, read_sets, report_on
from cmmdl.datasets.layout import Split, find_splits
from cmmdl.datasets.report import Finding, Report, counted
from cmmdl.errors import UsageError, UserError
from cmmdl.files.atomic import write_bytes
from cmmdl.files.listing import composed, read_stems

CARD = "data.json"
"""File in a prepared folder that says what it was made of."""

UNFINISHED = ".cmmdl-part"
"""What the name of a folder ends with while it is filled."""


@dataclass(frozen=True)
class Preparation:
    """What would be written.

    Attributes:
        data: Which data set it is.
        source: Archive or folder.
        sha256: Of the archive; empty for a folder.
        splits: What goes where.
        bytes: Of all pictures.
    """

    data: DataSet
    source: Path
    sha256: str
    splits: tuple[Split, ...]
    bytes: int

    def targets(self, out: Path) -> dict[str, Path]:
        """Path in the source -> where it goes."""
        return {
            path: out / split.name / side / PurePosixPath(path).name
            for split in self.splits
            for side, files in zip(self.data.sides, (split.first, split.second), strict=True)
            for path in (files[stem] for stem in split.pairs)
        }

    def sets(self, out: Path) -> list[PairSet]:
        """The folders that it fills."""
        first, second = self.data.sides
        return [PairSet(split.name, out / split.name / first, out / split.name / second) for split in self.splits]


def plan(data: DataSet, source: Path, *, sha256: str = "", test_stems: Path | None = None) -> Preparation:
    """Looks into an archive or folder and says what would be written. Nothing is unpacked.

    Args:
        data: Which data set it is.
        source: The archive or folder that the user downloaded.
        sha256: What the archive must have; empty to take it as it is.
        test_stems: A text file of the stems that make the test split, one a line; of sets without an official one.

    Raises:
        UserError: If the source cannot be used, is another one, or does not look like the data set.
    """
    if sha256 and source.is_dir():
        raise UsageError(f"{source} is a folder, which has no hash; give the archive, or leave out --sha256")
    files = list_files(source)
    digest = "" if source.is_dir() else sha256_of(source)
    if sha256 and digest != sha256.strip().lower():
        raise UserError(f"{source}: its SHA-256 is {digest}, not {sha256.strip().lower()}; download it again")
    splits = find_splits(files, data, str(source))
    if test_stems:
        splits = _divided(splits, data, test_stems)
    paths = [path for split in splits for side in (split.first, split.second) for path in side.values()]
    return Preparation(data, source, digest, tuple(splits), sum(files[path] for path in paths))


def prepare(
    plan: Preparation, out: Path, *, link: bool = False, workers: int | None = None, progress: bool = False
) -> Report:
    """Writes a prepared folder, checks every picture and leaves bad pairs out. Pixels and file formats stay.

    Args:
        plan: As :func:`plan` made it.
        out: New or empty folder; it is there when all is done, or not at all.
        link: Make hard links rather than copies, of a source that is a folder.
        workers: Threads that check.
        progress: Show bars on standard error.

    Returns:
        What was found; pairs among its problems that are damaged, unpaired or of two sizes are not in the folder.

    Raises:
        UserError: If it cannot be written, or there is no usable pair.
    """
    check_target(plan, out, link)
    with _unfinished(out) as folder:
        for one in plan.sets(folder):
            one.first.mkdir(parents=True)
            one.second.mkdir(parents=True)
        targets = plan.targets(folder)
        copies = copy_files(plan.source, targets, link=link)
        for _ in tqdm(copies, total=len(targets), unit=" files", disable=None if progress else True, leave=False):
            pass
        read = read_sets(plan.sets(folder), workers=workers, progress=progress)
        if not any(one.pairs for one in read):
            reason = next((text for one in read for text in (*one.bad.values(), *one.unequal.values())), "")
            raise UserError(f"{plan.source}: no usable pair: {reason.replace(str(folder), str(out))}")
        _remove_bad(folder, read)
        report = _report(plan, read, folder)
        write_bytes(folder / CARD, (json.dumps(_card(plan, report), indent=2) + "\n").encode())
    return report


def check_target(plan: Preparation, out: Path, link: bool) -> None:
    """Finds what stands in the way before anything is written.

    Raises:
        UserError: If ``out`` is taken, lies in the source, has too little space, or an archive is to be linked.
    """
    if link and not plan.source.is_dir():
        raise UsageError(f"{plan.source} is an archive; --link needs a folder: unpack it by hand or leave out --link")
    if out.resolve() == Path.cwd():
        raise UserError(f"{out} is the current folder; give a new one inside it with -o")
    if _taken(out):
        raise UserError(f"{out} exists and is not an empty folder; remove it or give another one with -o")
    if plan.source.is_dir() and out.resolve().is_relative_to(plan.source.resolve()):
        raise UserError(f"{out} is inside {plan.source}; give a folder outside it with -o")
    there = next(parent for parent in (out.resolve(), *out.resolve().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if not link and free < plan.bytes:
        gib = f"{plan.bytes / 2**30:.1f} GiB are needed in {there} and {free / 2**30:.1f} are free"
        raise UserError(f"{out}: {gib}; free some space or choose another place")


def _taken(out: Path) -> bool:
    """Whether something is there already; a UserError if that cannot be seen."""
    try:
        return out.exists() and (not out.is_dir() or any(out.iterdir()))
    except OSError as error:
        raise UserError(f"{out}: cannot be opened ({error.strerror}); check the path and its permissions") from error


@contextmanager
def _unfinished(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that takes its name if all goes well, and is removed if not."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=UNFINISHED, dir=out.parent))
        try:
            folder.chmod(0o755)
            yield folder
            if out.exists():
                out.rmdir()
            folder.rename(out)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"{out}: cannot be written ({error.strerror}); check the path, its permissions and the space"
        ) from error


def leftovers(out: Path) -> list[Path]:
    """Half-filled folders that killed runs left beside ``out``; another run may still be filling one."""
    return sorted(out.parent.glob(f".{out.name}.*{UNFINISHED}"))


def _divided(splits: list[Split], data: DataSet, test_stems: Path) -> list[Split]:
    """A set without an official split, divided by a list of stems."""
    (whole, *more) = splits
    if more or whole.name != "all":
        there = " and ".join(split.name for split in splits)
        raise UserError(f"{data.title} is already split into {there}; leave out --test-stems")
    stems = read_stems(test_stems)
    if not stems:
        raise UserError(f"{test_stems} lists no stems; write one per line")
    for stem in stems:
        if stem not in whole.pairs:
            near = difflib.get_close_matches(stem, whole.pairs, 1)
            hint = f"; the nearest is {near[0]!r}" if near else ""
            raise UserError(f"{test_stems}: there is no pair {stem!r} in {data.title}{hint}; give stems without .png")
    return [_part(whole, "train", set(whole.first) | set(whole.second), stems), _part(whole, "test", stems, set())]


def _part(whole: Split, name: str, stems: set[str], less: set[str]) -> Split:
    first, second = (
        {stem: path for stem, path in side.items() if stem in stems and stem not in less}
        for side in (whole.first, whole.second)
    )
    return Split(name, first, second)


def _remove_bad(folder: Path, read: list[Read]) -> None:
    """Takes the pairs out that cannot be used; of links the originals stay."""
    for one in read:
        for side in one.sides:
            for path in list((folder / one.name / side).iterdir()):
                if composed(path.stem) in {*one.bad, *one.unequal}:
                    path.unlink()


def _report(plan: Preparation, read: list[Read], folder: Path) -> Report:
    """The findings, with names as in the source, where the folder is only half there."""
    for one in read:
        one.bad = {stem: text.replace(f"{folder}/", "") for stem, text in one.bad.items()}
    report = report_on(read, data=plan.data)
    for split in plan.splits:
        if split.unpaired:
            text = f"{counted(len(split.unpaired), 'picture')} without partner, left out"
            report.problems.append(Finding("unpaired", split.name, text, tuple(split.unpaired)))
    return report


def _card(plan: Preparation, report: Report) -> dict[str, Any]:
    """What a prepared folder says of itself."""
    return {
        "name": plan.data.name,
        "title": plan.data.title,
        "source": plan.data.source,
        "terms": plan.data.terms,
        "paper": plan.data.paper,
        "made_from": plan.source.resolve().name,
        "sha256": plan.sha256,
        "pairs": {one.name: one.pairs for one in report.sets},
    }
