"""Steadiness: noise and flicker averaged along the motion, where the motion is sure.

The motion between two frames is the optical flow of the mean of both sources, so that what only one of them shows is
followed too. Each fused frame is mixed with the result before it, moved along that flow. Nothing is mixed where the
flow forward and the flow back do not agree, as at edges of moving things, or where the two pictures differ by much
more than noise: nothing smears there, and nothing is steadied.

Reference: Kroeger, Timofte, Dai, Van Gool. Fast optical flow using dense inverse search. ECCV, 2016, as in OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Levels = NDArray[np.uint8]

STRENGTH = 0.92
"""Share of the past in fine detail, where all is sure: about a dozen frames are averaged."""

FLICKER_STRENGTH = 0.95
"""The same of brightness over `FLICKER_SIDE` pixels, in which eyes see flicker first and which costs no detail."""

FLICKER_SIDE = 31
FLICKER_LEVELS = 24.0
"""Change of brightness, in 8-bit levels, at which it counts as real rather than flicker for the most part."""

DETAIL_KEPT = 0.987
"""Spatial frequency of the result divided by that of the frame; strength gives way to it."""

STILL = 0.25
"""Motion in pixels below which a pixel stands still: moving it by less only blurs it."""

FLOW_PIXELS = 300_000
"""Larger frames are made smaller for the flow, whose time grows with the pixels."""

SMALLEST = 48
"""Side in pixels below which there is no flow to be had; nothing is moved then."""


@dataclass(frozen=True)
class Motion:
    """How one frame came out of the one before.

    Attributes:
        columns: ``(H, W)``, where in the frame before each pixel was.
        rows: The same for rows.
        sure: ``(H, W)`` from 0 to 1.
    """

    columns: Floats
    rows: Floats
    sure: Floats


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


def motion(scene: Levels, before: Levels, size: tuple[int, int]) -> Motion:
    """The motion between two frames and how sure it is.

    Args:
        scene: `scene_of` the frame.
        before: `scene_of` the frame before, of the same size.
        size: Height and width of the frames.
    """
    columns, rows = grid(*size)
    if min(scene.shape) < SMALLEST:
        return Motion(columns, rows, np.ones(size, np.float32))
    height, width = scene.shape
    half = (max(1, width // 2), max(1, height // 2))
    small, small_before = (cv2.resize(picture, half, interpolation=cv2.INTER_AREA) for picture in (scene, before))
    flow = _dense_inverse_search().calc(scene, before, None)  # type: ignore[call-overload]
    back = _dense_inverse_search().calc(small_before, small, None)  # type: ignore[call-overload]
    sure = cv2.resize(agreement(cv2.resize(flow, half, interpolation=cv2.INTER_AREA) / 2, back), size[::-1])
    flow = _shrunk(flow)
    if (height, width) != size:
        flow = cv2.resize(flow, size[::-1]) * np.array([size[1] / width, size[0] / height], np.float32)
    return Motion(columns + flow[..., 0], rows + flow[..., 1], sure)


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
    miss = flow + returned
    apart, length = _squares(miss), _squares(flow)
    sure = np.clip(1.5 - apart / (0.02 * length + 0.15), 0, 1)
    sure *= (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return sure


class Steady:
    """Steadies the fused frames of one clip, one after the other. It keeps the last result and two numbers.

    Both adapt to the clip: ``noise`` is how far frames differ where the motion is sure; ``gain`` and ``strength`` are
    turned so that the result keeps `DETAIL_KEPT` of the detail. Detail is first given back to the moved past, which
    loses some each time it is moved; only if that is not enough less of it is taken.
    """

    def __init__(self) -> None:
        self.past: Floats | None = None
        self.noise, self.gain, self.strength = 1.0, 0.0, STRENGTH

    def __call__(self, luma: Floats, moved: Motion | None) -> Floats:
        """The next frame.

        Args:
            luma: ``(H, W)`` in [0, 1].
            moved: Its motion against the frame before; None begins anew, as after a cut.

        Returns:
            The same shape and range.
        """
        if moved is None or self.past is None or self.past.shape != luma.shape:
            self.past = luma
            return luma
        past = cv2.remap(self.past, moved.columns, moved.rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        if self.gain:
            cv2.addWeighted(past, 1 + self.gain, cv2.GaussianBlur(past, (3, 3), 0), -self.gain, 0, past)
        mixed = np.clip(self._mixed(luma, (past - luma) * 255, moved.sure), 0, 1)
        self._adapt(detail(mixed) / max(detail(luma), 1e-6))
        self.past = mixed
        return mixed

    def _mixed(self, luma: Floats, difference: Floats, sure: Floats) -> Floats:
        """The frame moved towards the past by a part of the difference, brightness and detail apart."""
        bright = cv2.blur(difference, (FLICKER_SIDE, FLICKER_SIDE))
        fine = difference - bright
        apart = cv2.GaussianBlur(np.abs(fine), (0, 0), 2)
        self.noise += 0.2 * (float(np.median(apart[::4, ::4])) - self.noise)
        fine *= _near(apart, 20 + 8 * self.noise) * self.strength
        bright *= _near(bright, FLICKER_LEVELS) * FLICKER_STRENGTH
        fine += bright
        fine *= sure
        return luma + fine / 255

    def _adapt(self, kept: float) -> None:
        """Turns gain and strength by how much detail the last frame kept."""
        missing = DETAIL_KEPT - kept
        self.gain = min(max(self.gain + 4 * missing, 0.0), 0.3)
        if self.gain == 0.3 or (self.gain == 0 and self.strength < STRENGTH):
            self.strength = min(max(self.strength - 4 * missing, 0.0), STRENGTH)


def detail(luma: Floats) -> float:
    """Spatial frequency of a luma, from a quarter of its rows and columns."""
    across, down = luma[::4, 1:] - luma[::4, :-1], luma[1:, ::4] - luma[:-1, ::4]
    return float(np.sqrt(np.mean(across**2) + np.mean(down**2))) if across.size and down.size else 0.0


def is_cut(scene: Levels, before: Levels) -> bool:
    """Whether another scene begins: the pictures have next to nothing in common."""
    small = [cv2.resize(picture, (32, 24), interpolation=cv2.INTER_AREA).astype(np.float32) for picture in (scene, before)]
    one, two = (picture - picture.mean() for picture in small)
    scale = float(np.sqrt((one**2).sum() * (two**2).sum()))
    return scale > 0 and float((one * two).sum()) / scale < 0.5


@lru_cache(maxsize=4)
def grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Column and row of every pixel, each ``(H, W)``."""
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return columns, rows


def _dense_inverse_search() -> cv2.DISOpticalFlow:
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)


def _near(difference: Floats, scale: float) -> Floats:
    """1 for no difference, falling to 1/e at the scale."""
    scaled = difference / scale
    scaled *= scaled
    weights: Floats = cv2.exp(-scaled)
    return weights


def _shrunk(flow: Floats) -> Floats:
    """The flow, and none where it is less than `STILL`."""
    length = cv2.sqrt(_squares(flow))
    flow *= np.clip(length / STILL - 1, 0, 1)[..., None]
    return flow


def _squares(flow: Floats) -> Floats:
    return cv2.magnitude(flow[..., 0], flow[..., 1]) ** 2
