"""Fusing two folders: pairing by stem, reading and writing meanwhile, going on after a bad pair, or after a kill."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cmmdl.arrays import is_float
from cmmdl.atomic import remove_stale
from cmmdl.errors import UserError
from cmmdl.fuser import Fuser
from cmmdl.images import Note, list_images, write_image
from cmmdl.pictures import Picture, Range


@dataclass(frozen=True)
class Pair:
    """Two files of one stem, and where their result goes."""

    stem: str
    ir: Path
    vis: Path
    out: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a pair; ``error`` is empty if it was fused."""

    pair: Pair
    error: str = ""


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
        raise UserError(f"{out} is a folder of inputs, results would mix with them; give another folder with -o")
    first, second = list_sources(ir, vis, ir_suffix, vis_suffix)
    both = sorted(first.keys() & second.keys())
    if not both:
        raise UserError(_nothing_pairs(ir, first, vis, second))
    alone = [f"{first[stem]}: no picture {stem!r} in {vis}" for stem in sorted(first.keys() - second.keys())]
    alone += [f"{second[stem]}: no picture {stem!r} in {ir}" for stem in sorted(second.keys() - first.keys())]
    return [Pair(stem, first[stem], second[stem], out / f"{stem}{suffix}") for stem in both], alone


WORKERS = min(4, os.cpu_count() or 1)
"""Threads that read, and as many that write; so many pairs are held in memory decoded, and as many results."""


def fuse_pairs(
    fuser: Fuser, pairs: list[Pair], *, ir_range: Range | None, vis_range: Range | None, **options: Any
) -> Iterator[Outcome]:
    """Fuses pairs one after the other; meanwhile the next ones are read and the last results are written.

    Args:
        fuser: Does the work.
        pairs: All lead into one folder, which is created.
        ir_range: As in a call of ``fuser``.
        vis_range: Likewise.
        **options: Other options of that call.

    Yields:
        An outcome a pair, in order, as soon as it is known.

    Raises:
        UserError: If results cannot be written, since that will not be better for the next one.
    """

    def read(pair: Pair) -> tuple[Picture, Picture]:
        return fuser.take(pair.ir, "infrared", ir_range), fuser.take(pair.vis, "visible", vis_range)

    def fuse(pair: Pair, one: Picture, two: Picture) -> Future[None]:
        depth = options.get("depth") or depth_that_fits(two, pair.out, fuser.note)
        fused = fuser(one, two, **{**options, "depth": depth})
        assert isinstance(fused, np.ndarray)
        return writers.submit(write_image, pair.out, fused)

    readers, writers = ThreadPoolExecutor(WORKERS), ThreadPoolExecutor(WORKERS)
    to_read, ahead = iter(pairs), deque[Future[tuple[Picture, Picture]]]()
    behind = deque[tuple[Pair, Future[None]]]()
    try:
        for pair in pairs:
            ahead.extend(readers.submit(read, following) for following in islice(to_read, WORKERS + 1 - len(ahead)))
            try:
                behind.append((pair, fuse(pair, *ahead.popleft().result())))
            except UserError as error:
                behind.append((pair, _failed(error)))
            while len(behind) > WORKERS or (behind and behind[0][1].done()):
                yield _outcome(*behind.popleft())
        while behind:
            yield _outcome(*behind.popleft())
    finally:
        for pool in (readers, writers):
            pool.shutdown(cancel_futures=True)


def _failed(error: UserError) -> Future[None]:
    """What has failed before it was written."""
    future = Future[None]()
    future.set_exception(error)
    return future


def _outcome(pair: Pair, written: Future[None]) -> Outcome:
    """Waits until a result is written, or raises what no other pair would survive either."""
    try:
        written.result()
    except UserError as error:
        if isinstance(error.__cause__, OSError) and str(error).startswith(str(pair.out)):
            raise
        return Outcome(pair, str(error))
    return Outcome(pair)


def depth_that_fits(vis: Picture, out: Path, note: Note) -> str | None:
    """``uint16`` for a visible picture of floats whose result is a PNG, which holds none; else no depth of its own."""
    if not is_float(vis.pixels) or out.suffix.lower() != ".png":
        return None
    note("visible pictures of floats give 16-bit PNGs; ask for --format tif (or .tif) to keep floats")
    return "uint16"


def prepare_folder(out: Path) -> None:
    """Creates the folder of the results, and removes what a killed run left half-written in it.

    Raises:
        UserError: If it cannot be created or is a file.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UserError(
            f"{out} is a file; two folders need a folder for the results, give another one with -o"
        ) from error
    except OSError as error:
        raise UserError(f"{out} cannot be created ({error.strerror}); give another folder with -o") from error
    remove_stale(out)


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
        raise UserError(f"{folder} is both folders; tell the pictures apart with --ir-suffix _ir --vis-suffix _vis")
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
