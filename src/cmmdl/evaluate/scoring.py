"""Scores of scenes, on one core or on all of them."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from operator import itemgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from cmmdl.errors import UserError
from cmmdl.evaluate.scenes import Exclusion, Scene
from cmmdl.files.colour import BLUE, GREEN, RED
from cmmdl.files.images import quiet_decoders
from cmmdl.files.ranges import BY_TYPE, RangeRule, read_levels
from cmmdl.metrics import score
from cmmdl.models.baselines import BASELINES
from cmmdl.runtimes.device import cpu_cores

Levels = NDArray[np.uint8]
Scores = dict[str, dict[str, float]]
_SCENES_A_WORKER = 4
"""A worker takes seconds to start; below this many scenes it is not worth it."""


@dataclass(frozen=True)
class Protocol:
    """How fused pictures are scored.

    Attributes:
        convention: A name of :data:`cmmdl.metrics.CONVENTIONS`.
        metrics: Names of metrics in the order of the table.
        stretch: Whether fused pictures are stretched to 0..255 by their minimum and maximum first.
        baselines: Names of :data:`cmmdl.models.baselines.BASELINES` to be scored beside the methods.
        ir_range: Which values of infrared pictures mean black and white.
        vis_range: The same of visible pictures.
    """

    convention: str
    metrics: tuple[str, ...]
    stretch: bool = False
    baselines: tuple[str, ...] = ()
    ir_range: RangeRule = BY_TYPE
    vis_range: RangeRule = BY_TYPE


def score_scenes(
    scenes: Sequence[Scene], protocol: Protocol, *, workers: int | None = None, progress: bool = False
) -> tuple[dict[str, Scores], list[Exclusion]]:
    """Scores every scene for every method.

    Args:
        scenes: What to score.
        protocol: How.
        workers: Processes with one thread each; None takes all cores, fewer for few scenes. The scores do not depend
            on it.
        progress: Whether a bar is shown, if the terminal can show one.

    Returns:
        Scene → method → metric → score of the scenes without trouble, and the trouble with the others.

    Raises:
        UserError: If the worker processes cannot start.
    """
    count = workers or max(1, min(cpu_cores(), len(scenes) // _SCENES_A_WORKER))
    run = _run_here(scenes, protocol) if count == 1 else _run_pool(scenes, protocol, count)
    bar = tqdm(run, total=len(scenes), desc="scoring", unit="scene", disable=None if progress else True)
    outcomes = sorted(bar, key=itemgetter(0))
    scored = {name: scores for name, scores, trouble in outcomes if not trouble}
    return scored, [exclusion for _, _, trouble in outcomes for exclusion in trouble]


def score_scene(scene: Scene, protocol: Protocol) -> tuple[str, Scores, list[Exclusion]]:
    """Reads and scores one scene for all methods.

    Returns:
        Its name, method → metric → score, and what is wrong with it; with any trouble the scores do not count.
    """
    trouble: list[Exclusion] = []
    sources = ("ir", scene.ir, protocol.ir_range), ("vis", scene.vis, protocol.vis_range)
    files = [*sources, *((name, path, BY_TYPE) for name, path in scene.fused.items())]
    pictures = [(where, _read(scene.name, where, path, rule, trouble)) for where, path, rule in files]
    _check_sizes(scene.name, pictures, trouble)
    if trouble:
        return scene.name, {}, trouble
    (_, ir), (_, vis), *fused = pictures
    fused += [(name, _fuse(name, ir, vis)) for name in protocol.baselines]
    return scene.name, _score_methods(scene.name, fused, ir, vis, protocol, trouble), trouble


def stretch_levels(picture: Levels) -> Levels:
    """Min-max stretch to 0..255, all channels together, rounded; a flat picture stays as it is."""
    low, high = int(picture.min()), int(picture.max())
    if low == high:
        return picture
    return np.rint((picture.astype(np.float64) - low) * (255 / (high - low))).astype(np.uint8)


def _read(name: str, where: str, path: Path, rule: RangeRule, trouble: list[Exclusion]) -> Levels:
    """The 8-bit levels of a file, or an empty picture and an entry in ``trouble``."""
    try:
        return read_levels(path, rule, "ir" if where == "ir" else "vis")
    except UserError as error:
        trouble.append(Exclusion(name, where, str(error)))
        return np.empty((0, 0), np.uint8)


def _check_sizes(name: str, pictures: list[tuple[str, Levels]], trouble: list[Exclusion]) -> None:
    """Compares every readable picture with the first of them, which is the infrared one unless that is broken."""
    readable = [(where, picture.shape) for where, picture in pictures if picture.size]
    for where, (height, width, *_) in readable[1:]:
        first, (first_height, first_width, *_) = readable[0]
        if (height, width) != (first_height, first_width):
            sizes = f"{width}x{height} pixels, but {first} has {first_width}x{first_height}"
            trouble.append(Exclusion(name, where, sizes))


def _fuse(name: str, ir: Levels, vis: Levels) -> Levels:
    """A baseline's grey result of the sources' rounded lumas."""
    with torch.inference_mode():
        fused = BASELINES[name]()(_grey(ir), _grey(vis))
    result: Levels = (255 * fused[0, 0]).round().to(torch.uint8).numpy()
    return result


def _grey(picture: Levels) -> torch.Tensor:
    """BT.601 luma rounded to 8 bits: ``(H, W)`` or ``(H, W, 3)`` → ``(1, 1, H, W)`` in [0, 1]."""
    grey = picture if picture.ndim == 2 else np.rint(picture @ np.array([RED, GREEN, BLUE]))
    return torch.from_numpy(grey.astype(np.float32) / 255)[None, None]


def _score_methods(
    name: str,
    pictures: list[tuple[str, Levels]],
    ir: Levels,
    vis: Levels,
    protocol: Protocol,
    trouble: list[Exclusion],
) -> Scores:
    scores: Scores = {}
    for method, fused in pictures:
        ready = stretch_levels(fused) if protocol.stretch else fused
        try:
            scores[method] = score(ready, ir, vis, convention=protocol.convention, metrics=list(protocol.metrics))
        except ValueError as error:
            trouble.append(Exclusion(name, method, str(error)))
    return scores


def _run_here(scenes: Sequence[Scene], protocol: Protocol) -> Iterator[tuple[str, Scores, list[Exclusion]]]:
    """One after the other with one thread, as a worker does it, so that sums come out alike."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for scene in scenes:
            yield score_scene(scene, protocol)
    finally:
        torch.set_num_threads(threads)


def _run_pool(
    scenes: Sequence[Scene], protocol: Protocol, workers: int
) -> Iterator[tuple[str, Scores, list[Exclusion]]]:
    """In the order in which scenes get ready; on Ctrl-C the workers end at once."""
    pool = ProcessPoolExecutor(min(workers, len(scenes)), get_context("spawn"), _start_worker)
    try:
        with _interrupts_ignored(), _script_hidden():  # workers start in submit
            futures = [pool.submit(score_scene, scene, protocol) for scene in scenes]
        yield from _finished(as_completed(futures))
    except BaseException:
        for process in list((pool._processes or {}).values()):  # the public way comes with Python 3.14
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _finished(futures: Iterable[Any]) -> Iterator[tuple[str, Scores, list[Exclusion]]]:
    try:
        for future in futures:
            yield future.result()
    except BrokenProcessPool as error:
        raise UserError("a worker process died; use fewer workers if memory ran out (--workers 1)") from error


def _start_worker() -> None:
    """One thread a process, no chatter; Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    quiet_decoders()
    torch.set_num_threads(1)


@contextmanager
def _script_hidden() -> Iterator[None]:
    """Workers that start in here do not run the calling script again: it needs no guard, and may come from a pipe."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Workers that start in here inherit it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
