"""Fusing pairs of files: reading and writing meanwhile, going on after a bad pair, or after a kill."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from cmmdl.errors import UnwritableError, UserError
from cmmdl.files.arrays import is_float
from cmmdl.files.atomic import remove_stale
from cmmdl.files.images import Note, write_image
from cmmdl.files.notes import ResultNote
from cmmdl.files.pairs import Pair
from cmmdl.files.pictures import Picture
from cmmdl.fusion.fuser import Fuser
from cmmdl.fusion.options import DEFAULTS, FuseOptions


@dataclass(frozen=True)
class Outcome:
    """What became of a pair; ``error`` is empty if it was fused."""

    pair: Pair
    error: str = ""


WORKERS = min(4, os.cpu_count() or 1)
"""Threads that read, and as many that write; so many pairs are held in memory decoded, and as many results."""


def fuse_pairs(fuser: Fuser, pairs: list[Pair], options: FuseOptions = DEFAULTS) -> Iterator[Outcome]:
    """Fuses pairs one after the other; meanwhile the next ones are read and the last results are written.

    Args:
        fuser: Does the work.
        pairs: All lead into one folder, which is created.
        options: Of every pair.

    Yields:
        An outcome a pair, in order, as soon as it is known.

    Raises:
        UserError: If results cannot be written, since that will not be better for the next one.
    """

    def read(pair: Pair) -> tuple[Picture, Picture]:
        return fuser.take(pair.ir, "infrared", options.ir_range), fuser.take(pair.vis, "visible", options.vis_range)

    def fuse(pair: Pair, one: Picture, two: Picture) -> Future[None]:
        dropped.update(one.metadata + two.metadata)
        depth = options.depth or depth_that_fits(two, pair.out, fuser.note)
        fused = fuser.fuse(one, two, replace(options, depth=depth))
        assert isinstance(fused, np.ndarray)
        return writers.submit(write_image, pair.out, fused)

    dropped = set[str]()
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
        if dropped:
            fuser.note(f"what the pictures hold beside pixels is not in the results: {', '.join(sorted(dropped))}")
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
        if isinstance(error, UnwritableError):
            raise
        return Outcome(pair, str(error))
    return Outcome(pair)


def depth_that_fits(vis: Picture, out: Path, note: Note) -> str | None:
    """``uint16`` for a visible picture of floats whose result is a PNG, which holds none; else no depth of its own."""
    if not is_float(vis.pixels) or out.suffix.lower() != ".png":
        return None
    note(ResultNote("visible pictures of floats give 16-bit PNGs; ask for --format tif (or .tif) to keep floats"))
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
