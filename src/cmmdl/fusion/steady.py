"""Steadiness: noise and flicker averaged along the motion, where the motion is sure.

The motion between two frames is the optical flow of the mean of both sources, so that what only one of them shows is
followed too. Each fused frame is mixed with the steadied frames before it and with the one after it, moved along that
flow. Nothing is mixed where the flows forward and back do not agree, as at edges of moving things, or where the
pictures differ by much more than noise: nothing smears there, and nothing is steadied.

How much is mixed adapts to the clip: as much as leaves the edges of both sources (Qabf) and the detail (SF) where they
are, within `EDGES_LOST` and `DETAIL_LOST`. A mean over the past and the next frame disturbs an edge less than one over
the past alone, at the price of one frame of delay.

Reference: Kroeger, Timofte, Dai, Van Gool. Fast optical flow using dense inverse search. ECCV, 2016, as in OpenCV.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache
from math import isqrt, sqrt
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
Levels = NDArray[np.uint8]

EDGES_LOST, DETAIL_LOST = 0.0215, 0.022
"""The parts of Qabf and of SF that may be lost."""

STRENGTH, STRONGEST = 0.22, 1 / 3
"""Share of the frame before and of the one after in fine detail, at first and at most."""

MEMORY = 1.6
"""Share of the past in what is remembered, divided by the strength: more than in what is shown."""

FLICKER_STRENGTH = 0.95
"""Share of the past in brightness over `FLICKER_SIDE` pixels, where eyes see flicker first and which holds no edge."""

FLICKER_SIDE = 31
FLICKER_LEVELS = 24.0
"""Change of brightness, in 8-bit levels, at which it counts as real rather than flicker for the most part."""

NOISE_LEVELS = 30.0
"""The same of fine detail, in a clip without noise; noise adds to it."""

LOOKS = 8
"""Every so many frames the loss is measured."""

LOOK_HEIGHT, LOOK_WIDTH = 240, 320
"""The part of a frame in which edges are measured, at most; another quarter each time."""

FLOW_PIXELS = 300_000
"""Larger frames are made smaller for the flow, whose time grows with the pixels."""

SMALLEST = 48
"""Side in pixels below which there is no flow to be had; nothing is moved then."""


@dataclass(frozen=True)
class FlowField:
    """Where each pixel of a frame lies in a neighbouring frame.

    Attributes:
        columns: ``(H, W)``.
        rows: ``(H, W)``.
        sure: ``(H, W)`` from 0 to 1.
    """

    columns: Floats
    rows: Floats
    sure: Floats


@dataclass(frozen=True)
class Motion:
    """The motion between two frames.

    Attributes:
        back: From the later frame to the earlier one.
        ahead: From the earlier frame to the later one.
    """

    back: FlowField
    ahead: FlowField


@dataclass(frozen=True)
class Still:
    """What is needed of one frame.

    Attributes:
        luma: Fused, ``(H, W)`` in [0, 1].
        ir: Luma of the infrared source, of the same shape and range.
        vis: That of the visible source.
        scene: `scene_of` both.
    """

    luma: Floats
    ir: Floats
    vis: Floats
    scene: Levels = field(repr=False)


def scene_of(ir: Floats, vis: Floats) -> Levels:
    """The picture in which motion is looked for: the mean of both lumas.

    Args:
        ir: ``(H, W)`` in [0, 1].
        vis: Same shape and range.

    Returns:
        8-bit levels, smaller than the frame where that is large.
    """
    mean = cv2.addWeighted(ir, 127.5, vis, 127.5, 0)
    factor = max(1, isqrt(mean.size // FLOW_PIXELS))
    if factor > 1:
        size = (max(1, mean.shape[1] // factor), max(1, mean.shape[0] // factor))
        mean = cv2.resize(mean, size, interpolation=cv2.INTER_AREA)
    return np.rint(mean).astype(np.uint8)


def motion(before: Levels, after: Levels, size: tuple[int, int]) -> Motion | None:
    """The motion between two frames and how sure it is; None if another scene begins.

    Args:
        before: `scene_of` the earlier frame.
        after: `scene_of` the later frame, of the same size.
        size: Height and width of the frames.
    """
    if before.shape != after.shape or is_cut(before, after):
        return None
    if min(after.shape) < SMALLEST:
        still = FlowField(*grid(*size), np.ones(size, np.float32))
        return Motion(still, still)
    search = _dense_inverse_search()
    back, ahead = search.calc(after, before, None), search.calc(before, after, None)  # type: ignore[call-overload]
    half = (max(1, after.shape[1] // 2), max(1, after.shape[0] // 2))
    coarse_back, coarse_ahead = (cv2.resize(flow, half, interpolation=cv2.INTER_AREA) / 2 for flow in (back, ahead))
    return Motion(
        _step(back, agreement(coarse_back, coarse_ahead), size),
        _step(ahead, agreement(coarse_ahead, coarse_back), size),
    )


def agreement(flow: Floats, back: Floats) -> Floats:
    """How well a flow and the flow the other way round agree: 1 where they cancel, 0 where they do not.

    Args:
        flow: ``(H, W, 2)`` in pixels, from each pixel to its place in the other picture.
        back: The same the other way round.

    Returns:
        ``(H, W)`` from 0 to 1; also 0 for what comes from outside of the picture.

    Reference: Sundaram, Brox, Keutzer. Dense point trajectories by GPU-accelerated large displacement optical flow.
    ECCV, 2010, equation 5, made gradual.
    """
    height, width = flow.shape[:2]
    columns, rows = grid(height, width)
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    returned = cv2.remap(back, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    apart, length = _squares(flow + returned), _squares(flow)
    sure = np.clip(1.5 - apart / (0.02 * length + 0.15), 0, 1)
    sure *= (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return sure


class Steady:
    """Steadies the fused frames of one clip, one after the other.

    Attributes:
        strength: Share of each neighbour in fine detail.
        noise: How far neighbours differ where the motion is sure, in 8-bit levels.
    """

    def __init__(self) -> None:
        self.past: Floats | None = None
        self.strength, self.noise, self.count = STRENGTH, 1.0, 0
        self.costs: deque[float] = deque(maxlen=4)

    def __call__(self, frame: Still, before: Motion | None, after: Motion | None, following: Still | None) -> Floats:
        """The next frame.

        Args:
            frame: As it was fused.
            before: Its motion against the frame before; None begins anew, as after a cut.
            after: The motion to the frame after it; None if there is none.
            following: The frame after it.

        Returns:
            ``(H, W)`` in [0, 1].
        """
        shown = remembered = frame.luma
        if before is not None and self.past is not None and self.past.shape == frame.luma.shape:
            past = _moved(self.past, before.back, cv2.INTER_CUBIC)
            bright, fine = self._parts(past, frame.luma, before.back)
            shown = frame.luma + FLICKER_STRENGTH * bright
            remembered = shown + min(MEMORY * self.strength, 0.6) * fine
            shown = shown + self.strength * fine
        if after is not None and following is not None:
            coming = _moved(following.luma, after.ahead, cv2.INTER_LINEAR)
            shown = shown + self.strength * self._parts(coming, frame.luma, after.ahead)[1]
        self.past, shown = remembered, np.clip(shown, 0, 1)
        self._adapt(frame, shown)
        return shown

    def _parts(self, other: Floats, luma: Floats, step: FlowField) -> tuple[Floats, Floats]:
        """What another frame would change: brightness and fine detail, each only as far as it can be trusted."""
        difference = (other - luma) * 255
        bright = cv2.blur(difference, (FLICKER_SIDE, FLICKER_SIDE))
        fine = difference - bright
        apart = cv2.GaussianBlur(np.abs(fine), (0, 0), 2)
        self.noise += 0.2 * (float(np.median(apart[::4, ::4])) - self.noise)
        trusted: Floats = (step.sure / 255).astype(np.float32)
        fine *= _near(apart, NOISE_LEVELS + 8 * self.noise) * trusted
        bright *= _near(bright, FLICKER_LEVELS) * trusted
        return bright, fine

    def _adapt(self, frame: Still, shown: Floats) -> None:
        """Measures what is lost, now and then, and turns the strength by it."""
        self.count += 1
        if (self.count % LOOKS and self.count not in (3, 5)) or shown is frame.luma:
            return
        edges = edges_lost(frame, shown, self.count // LOOKS) / EDGES_LOST
        lost = max(edges, (1 - detail(shown) / max(detail(frame.luma), 1e-6)) / DETAIL_LOST)
        self.costs.append(max(lost, 0.0) / self.strength**2)  # what is lost grows with the square of the strength
        wanted = sqrt(1 / max(sum(self.costs) / len(self.costs), 1e-6))
        self.strength = min(max(wanted, 0.8 * self.strength), 1.2 * self.strength, STRONGEST)


def edges_lost(frame: Still, shown: Floats, quarter: int) -> float:
    """The part of Qabf that a quarter of a steadied frame has lost, in the 8-bit levels that are written."""
    import torch

    from cmmdl.metrics.gradients import qabf

    def plane(luma: Floats) -> torch.Tensor:
        rows, columns = (side // 2 if quarter >> bit & 1 else 0 for bit, side in enumerate(luma.shape))
        height, width = min(LOOK_HEIGHT, luma.shape[0] - rows), min(LOOK_WIDTH, luma.shape[1] - columns)
        levels = np.rint(luma[rows : rows + height, columns : columns + width] * 255)
        return torch.from_numpy(levels / 255)[None, None]

    sources = plane(frame.ir), plane(frame.vis)
    whole = float(qabf(plane(frame.luma), *sources))
    return 1 - float(qabf(plane(shown), *sources)) / max(whole, 1e-6)


def detail(luma: Floats) -> float:
    """Spatial frequency of a luma, from a quarter of its rows and columns."""
    across, down = luma[::4, 1:] - luma[::4, :-1], luma[1:, ::4] - luma[:-1, ::4]
    return sqrt(float(np.mean(across**2) + np.mean(down**2))) if across.size and down.size else 0.0


def is_cut(before: Levels, after: Levels) -> bool:
    """Whether another scene begins: the pictures have next to nothing in common."""
    small = [
        cv2.resize(picture, (32, 24), interpolation=cv2.INTER_AREA).astype(np.float32) for picture in (before, after)
    ]
    one, two = (picture - picture.mean() for picture in small)
    scale = sqrt(float((one**2).sum() * (two**2).sum()))
    return scale > 0 and float((one * two).sum()) / scale < 0.5


@lru_cache(maxsize=4)
def grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Column and row of every pixel, each ``(H, W)``."""
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return columns, rows


def _dense_inverse_search() -> cv2.DISOpticalFlow:
    """OpenCV's fast preset, one scale finer, and with wider strides and fewer iterations, to be fast even so."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    search.setFinestScale(1)
    search.setPatchStride(5)
    search.setGradientDescentIterations(8)
    search.setVariationalRefinementIterations(1)
    return search


def _step(flow: Floats, sure: Floats, size: tuple[int, int]) -> FlowField:
    """A flow as places in the other frame, both in the size of the frames."""
    columns, rows = grid(*size)
    height, width = flow.shape[:2]
    if (height, width) != size:
        flow = cv2.resize(flow, size[::-1]) * np.array([size[1] / width, size[0] / height], np.float32)
    return FlowField(columns + flow[..., 0], rows + flow[..., 1], cv2.resize(sure, size[::-1]))


def _moved(luma: Floats, step: FlowField, interpolation: int) -> Floats:
    """A neighbouring frame, moved onto this one."""
    return cv2.remap(luma, step.columns, step.rows, interpolation, borderMode=cv2.BORDER_REPLICATE)


def _near(difference: Floats, scale: float) -> Floats:
    """1 for no difference, falling to 1/e at the scale."""
    scaled = difference / scale
    scaled *= scaled
    weights: Floats = cv2.exp(-scaled)
    return weights


def _squares(flow: Floats) -> Floats:
    return cv2.magnitude(flow[..., 0], flow[..., 1]) ** 2
