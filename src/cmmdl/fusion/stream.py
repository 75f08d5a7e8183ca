"""Fusing frames one after the other: several at once, in order, steadied if that is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmmdl.files.arrays import to_numpy
from cmmdl.files.video.clip import Facts, Frame
from cmmdl.fusion.drift import Drift
from cmmdl.fusion.fuser import Fuser
from cmmdl.fusion.laid import Laid
from cmmdl.fusion.options import DEFAULTS, FuseOptions
from cmmdl.fusion.pipeline import ahead, in_order
from cmmdl.fusion.steady import Motion, Steady, Still, motion, scene_of
from cmmdl.fusion.timing import FramePair, Pairing


@dataclass(frozen=True)
class _Made:
    """A pair on its way: its pictures, and the fused luma with what steadying needs."""

    pair: FramePair
    placed: Laid
    still: Still


def fuse_stream(
    fuser: Fuser,
    ir_frames: Iterable[Any],
    vis_frames: Iterable[Any],
    *,
    options: FuseOptions = DEFAULTS,
    offset: float = 0.0,
    steady: bool = False,
    workers: int | None = None,
) -> Iterator[Any]:
    """Fuses two streams of frames: ``for frame in cmmdl.fuse_stream(fuser, ir_frames, vis_frames)``.

    Reading, fusing and whatever the loop does run at the same time; a few frames are in memory, however many come.

    Args:
        fuser: Does the work.
        ir_frames: Infrared frames: arrays ``(H, W)`` or ``(H, W, 3)``, or `cmmdl.files.video.clip.Frame` with times.
        vis_frames: Visible frames, of the same kind.
        options: Of every pair. A range must be the same for all frames: numbers or ``"type"``.
        offset: Seconds by which the infrared stream was started after the visible one, for frames with times.
        steady: Average noise and flicker along the motion, at the price of one frame of delay.
        workers: Frames that are fused at once; None is one a core where the runtime gains by it.

    Yields:
        Arrays as `Fuser` gives them, pair by pair until one stream ends; or, of frames with times, those paired by
        time, one `Frame` for every visible one.

    Raises:
        UserError: If a pair cannot be fused, or times do not overlap.
    """
    one, two = _peeked(ir_frames), _peeked(vis_frames)
    if one.timed and two.timed:
        pairing = Pairing(ahead(one.frames), ahead(two.frames), (one.facts, two.facts), offset)
        yield from fused_frames(fuser, pairing, options, steady=steady, workers=workers)
        return
    untimed = Fraction(0)
    pairs = (
        FramePair(Frame(untimed, ir), Frame(untimed, vis))
        for ir, vis in zip(ahead(one.frames), ahead(two.frames), strict=False)
    )
    for frame in fused_frames(fuser, pairs, options, steady=steady, workers=workers):
        yield frame.pixels


def fused_frames(
    fuser: Fuser,
    pairs: Iterable[FramePair],
    options: FuseOptions,
    *,
    steady: bool = False,
    workers: int | None = None,
    live: bool = False,
    drift: Drift | None = None,
) -> Iterator[Frame]:
    """Fuses pairs of frames, several at once; results come in order.

    Args:
        fuser: Does the work.
        pairs: Fetched as they are needed.
        options: Of every pair; a stretch is its ``levels``, not that of the fuser.
        steady: Whether to steady them.
        workers: Frames that are fused at once; None is one a core where the runtime gains by it.
        drift: Watches whether the pictures lie on each other.
        live: Whether a result is wanted before the next pair is there: one at a time, all cores on it.
    """
    source = iter(pairs)
    first = next(source, None)
    if first is None:
        return
    source = chain([first], source)
    fusers = _fusers(fuser, first.vis.pixels, 1 if live else workers)
    extra = 0 if live else 2
    if not steady:
        yield from in_order(lambda own, pair: _fused(own, pair, options, drift), source, fusers, extra)
        return
    others: list[None] = [None] * len(fusers)
    made = in_order(lambda own, pair: _made(own, pair, options, drift), source, fusers, extra)
    moved = in_order(lambda _, both: (both[1], _motion(*both)), _consecutive(made), others, extra)
    yield from in_order(lambda _, done: _finished(fuser, *done, options), _steadied(moved), others, extra)


def core_count(fuser: Fuser) -> int:
    """Frames that the runtime can fuse at once: its threads, or one where it has its own way with cores."""
    return int(getattr(fuser.backend, "threads", 1) or 1)


def _fusers(fuser: Fuser, pixels: NDArray[Any], workers: int | None) -> list[Fuser]:
    """One fuser a worker, as many as there is memory for."""
    wanted = core_count(fuser) if workers is None else workers
    return fuser.side_by_side(min(wanted, fuser.at_once(*pixels.shape[:2])))


def _fused(fuser: Fuser, pair: FramePair, options: FuseOptions, drift: Drift | None) -> Frame:
    """A pair without steadying, exactly as the picture command fuses it."""
    placed = fuser.lay(pair.ir.pixels, pair.vis.pixels, options)
    if drift is not None:
        drift.see(float(pair.vis.time), placed)
    pixels = fuser.finish(fuser.fused_luma(placed, options), placed, options)
    assert isinstance(pixels, np.ndarray)
    return replace(pair.vis, pixels=pixels)


def _made(fuser: Fuser, pair: FramePair, options: FuseOptions, drift: Drift | None) -> _Made:
    """A pair up to its fused luma."""
    placed = fuser.lay(pair.ir.pixels, pair.vis.pixels, options)
    if drift is not None:
        drift.see(float(pair.vis.time), placed)
    lumas = fuser.lumas(placed)
    fused = to_numpy(fuser.fused_luma(placed, options, lumas))[0, 0]
    one, two = (to_numpy(luma)[0, 0] for luma in lumas)
    return _Made(pair, placed, Still(fused, one, two, scene_of(one, two)))


def _motion(before: _Made | None, made: _Made) -> Motion | None:
    if before is None or before.still.luma.shape != made.still.luma.shape:
        return None
    return motion(before.still.scene, made.still.scene, made.still.luma.shape[:2])  # type: ignore[arg-type]


def _consecutive(items: Iterable[_Made]) -> Iterator[tuple[_Made | None, _Made]]:
    before = None
    for item in items:
        yield before, item
        before = item


def _steadied(moved: Iterable[tuple[_Made, Motion | None]]) -> Iterator[tuple[_Made, NDArray[Any]]]:
    """Each frame with its steadied luma, as soon as the one after it is known."""
    steadier = Steady()
    waiting: tuple[_Made, Motion | None] | None = None
    for made, step in moved:
        if waiting is not None:
            yield waiting[0], steadier(waiting[0].still, waiting[1], step, made.still)
        waiting = made, step
    if waiting is not None:
        yield waiting[0], steadier(waiting[0].still, waiting[1], None, None)


def _finished(fuser: Fuser, made: _Made, luma: NDArray[Any], options: FuseOptions) -> Frame:
    pixels = fuser.finish(luma[None, None], made.placed, options)
    assert isinstance(pixels, np.ndarray)
    return replace(made.pair.vis, pixels=pixels)


@dataclass(frozen=True)
class _Peeked:
    """A stream, and what its first frames say of it."""

    frames: Iterator[Any]
    timed: bool
    facts: Facts


def _peeked(frames: Iterable[Any]) -> _Peeked:
    """Looks at the first two frames; they are given again."""
    source = iter(frames)
    first = list(islice(source, 2))
    timed = bool(first) and isinstance(first[0], Frame)
    gap = first[1].time - first[0].time if timed and len(first) == 2 else None
    begins = first[0].time if timed else Fraction(0)
    facts = Facts("a stream", 0, 0, rate=1 / gap if gap else None, begins=begins)
    return _Peeked(chain(first, source), timed, facts)
