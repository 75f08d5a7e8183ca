"""Fusing pairs of files: reading and writing meanwhile, going on after a bad pair, or after a kill."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cmmdl.align.check import look
from cmmdl.errors import UnwritableError, UserError
from cmmdl.files.arrays import is_float
from cmmdl.files.atomic import remove_stale
from cmmdl.files.images import Note
from cmmdl.files.notes import ResultNote
from cmmdl.files.pairs import Pair
from cmmdl.files.pictures import Picture, result_dtype
from cmmdl.files.works import Work
from cmmdl.fusion.fitting import same_aspect
from cmmdl.fusion.fuser import Fuser
from cmmdl.fusion.laid import Laid
from cmmdl.fusion.lay_pictures import array_of
from cmmdl.fusion.options import DEFAULTS, FuseOptions
from cmmdl.fusion.products import PICTURES, Products, Sources, check, write_products


@dataclass(frozen=True)
class Outcome:
    """What became of a pair.

    Attributes:
        pair: Its files.
        error: Why it was not fused; empty if it was.
        doubt: How its pictures do not lie on each other; empty if they do, or that is not known.
        report: What was measured, if that was asked.
    """

    pair: Pair | Work
    error: str = ""
    doubt: str = ""
    report: dict[str, Any] | None = None


Written = Future["dict[str, Any] | None"]
"""A result that is being written."""


WORKERS = min(4, os.cpu_count() or 1)
"""Threads that read, and as many that write; so many pairs are held in memory decoded, and as many results."""


def nothing(pair: Pair) -> None:
    """Does nothing with a pair."""


def fuse_pairs(
    fuser: Fuser,
    pairs: list[Pair],
    options: FuseOptions = DEFAULTS,
    products: Products = PICTURES,
    *,
    one_file: bool = False,
    before: Callable[[Pair], None] = nothing,
    after: Callable[[Pair], None] = nothing,
) -> Iterator[Outcome]:
    """Fuses pairs one after the other; meanwhile the next ones are read and the last results are written.

    Args:
        fuser: Does the work.
        pairs: All lead into one folder, which is created.
        options: Of every pair.
        products: What is wanted of every pair.
        one_file: Whether the infrared file of each pair holds the visible picture too.
        before: Called in another thread before the files of a pair are read, as to bring them from elsewhere.
        after: Called in another thread when its results are written, as to take them away.

    Yields:
        An outcome a pair, in order, as soon as it is known.

    Raises:
        UserError: If results cannot be written, since that will not be better for the next one.
    """

    def read(pair: Pair) -> Laid:
        before(pair)
        laid = fuser.lay(pair.ir, None if one_file else pair.vis, options, files=True)
        check(laid, products, options, str(pair.ir))
        return laid

    def fuse(pair: Pair, laid: Laid) -> Written:
        if options.check and laid.alignment is None:
            doubts[pair.stem] = doubt(laid.ir, laid.vis)
        depth = options.depth or depth_that_fits(laid.vis, pair.out, fuser.note) or result_dtype(laid.vis, None)
        fused = fuser.fuse_laid(laid, replace(options, depth="float32" if products.paints else depth))
        assert isinstance(fused, np.ndarray)
        files = Sources(pair.ir, pair.vis, pair.out, f"{pair.stem}{pair.out.suffix}")
        wanted = _of_pair(products, pair)

        def write() -> dict[str, Any] | None:
            report = write_products(laid, fused, files, wanted, options, depth, fuser.note)
            after(pair)
            return report

        return writers.submit(write)

    doubts = dict[str, str]()
    readers, writers = ThreadPoolExecutor(WORKERS), ThreadPoolExecutor(WORKERS)
    to_read, ahead = iter(pairs), deque[Future[Laid]]()
    behind = deque[tuple[Pair, Written]]()
    try:
        for pair in pairs:
            ahead.extend(readers.submit(read, following) for following in islice(to_read, WORKERS + 1 - len(ahead)))
            try:
                behind.append((pair, fuse(pair, ahead.popleft().result())))
            except UserError as error:
                behind.append((pair, _failed(error)))
            while len(behind) > WORKERS or (behind and behind[0][1].done()):
                yield _outcome(*behind.popleft(), doubts)
        while behind:
            yield _outcome(*behind.popleft(), doubts)
    finally:
        for pool in (readers, writers):
            pool.shutdown(cancel_futures=True)


def _of_pair(products: Products, pair: Pair) -> Products:
    """What is wanted of one pair: its own file of temperatures in the folder of them."""
    if products.temperature is None or products.temperature.suffix:
        return products
    return replace(products, temperature=products.temperature / f"{pair.stem}.temperature.tif")


def _failed(error: UserError) -> Written:
    """What has failed before it was written."""
    future: Written = Future()
    future.set_exception(error)
    return future


def _outcome(pair: Pair, written: Written, doubts: dict[str, str]) -> Outcome:
    """Waits until a result is written, or raises what no other pair would survive either."""
    try:
        report = written.result()
    except UserError as error:
        if isinstance(error, UnwritableError):
            raise
        return Outcome(pair, str(error))
    return Outcome(pair, doubt=doubts.pop(pair.stem, ""), report=report)


def doubt(ir: Picture, vis: Picture) -> str:
    """How two pictures do not lie on each other, in a few words; empty if they do, or that is not known."""
    if "tensor" in (ir.kind, vis.kind) or not same_aspect(ir.size, vis.size):
        return ""
    seen = look(array_of(ir), array_of(vis))
    return str(seen) if seen.verdict in ("shifted", "mirrored", "foreign") else ""


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
