"""What both sensors see alike: where edges run, whatever is bright or dark on either side of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
CHANNELS = 4
"""Cosine and sine of twice and of four times the edge's angle."""


def floats(values: Any) -> Floats:
    """Values as float32."""
    return np.asarray(values, np.float32)


@dataclass(frozen=True)
class Plane:
    """One picture as grey levels and the pixels that it has.

    Attributes:
        grey: ``(height, width)`` float32, in about [0, 1], finite everywhere.
        known: ``(height, width)`` float32, 1 where the picture has a value and 0 where it has none.
    """

    grey: Floats
    known: Floats

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)`` in pixels."""
        return self.grey.shape[1], self.grey.shape[0]


def plane(picture: NDArray[Any]) -> Plane:
    """Reads a picture of any depth as grey levels.

    Args:
        picture: ``(height, width)`` or ``(height, width, 3)`` RGB, of any number type and range. NaN and infinities,
            as thermal files hold them outside the sensor's reach, count as pixels without a value.

    Returns:
        Levels between the darkest and the brightest hundredth as 0 and 1, and the map of known pixels.
    """
    grey = np.asarray(picture, np.float32)
    if grey.ndim == 3:
        grey = grey[..., 0] if grey.shape[2] < 3 else grey[..., :3] @ LUMA
    known = np.isfinite(grey)
    if not known.any():
        return Plane(np.zeros_like(grey), known.astype(np.float32))
    low, high = np.percentile(grey[known][:: max(1, grey.size // 50_000)], [0.5, 99.5])
    span = max(float(high - low), 1e-6 * max(abs(float(high)), 1.0))
    levels = np.clip((np.where(known, grey, low) - low) / span, 0, 1.5).astype(np.float32)
    return Plane(levels, known.astype(np.float32))


def small(picture: Plane, scale: float) -> Plane:
    """The picture at another size (areas are averaged), at least 8 pixels a side."""
    width, height = (max(8, round(side * scale)) for side in picture.size)
    area = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return Plane(
        floats(cv2.resize(picture.grey, (width, height), interpolation=area)),
        (cv2.resize(picture.known, (width, height), interpolation=area) > 0.99).astype(np.float32),
    )


def busy(picture: Plane) -> bool:
    """Whether there is anything to go by: known pixels that differ by more than rounding, in more than one spot."""
    if picture.known.mean() < 0.05:
        return False
    return bool(np.std(picture.grey[picture.known > 0]) > 0.02)


def structure(grey: Floats, known: Floats, *, sigma: float = 1.0, reach: float = 12.0) -> Floats:
    """Edge directions without a sign, weighted by how far each edge stands out of its surroundings.

    The gradient's angle is doubled (and doubled again), so that an edge from dark to bright and one from bright to
    dark are the same, after Granlund, "In search of a general picture processing operator", 1978; the weight
    compresses contrast locally, so that a faint wall counts nearly as much as a hot engine.

    Args:
        grey: ``(height, width)`` float32.
        known: ``(height, width)`` float32, 0 where ``grey`` has no value.
        sigma: Of the Gaussian before the derivative, in pixels.
        reach: Of the surroundings, as the sigma of a Gaussian in pixels.

    Returns:
        ``(height, width, 4)`` float32, each vector of length at most 1.4; zero at unknown pixels and beside them.
    """
    smooth = cv2.GaussianBlur(grey, (0, 0), sigma)
    gx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    gy = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    inside = cv2.erode(known, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return oriented(floats(gx * inside), floats(gy * inside), floats(inside), reach)


def oriented(gx: Floats, gy: Floats, inside: Floats, reach: float) -> Floats:
    """The four maps of :func:`structure` from the two derivatives, both zero where ``inside`` is."""
    strength = floats(cv2.magnitude(gx, gy))
    around = surroundings(strength, inside, reach)
    typical = float(strength.sum()) / max(float(inside.sum()), 1.0)
    weight = (strength / (strength + around + typical + 1e-6)) ** 1.5
    unit = 1 / np.maximum(strength, 1e-9)
    c, s = gx * unit, gy * unit
    c2, s2 = c * c - s * s, 2 * c * s
    maps = cv2.merge([weight * c2, weight * s2, weight * (c2 * c2 - s2 * s2), weight * 2 * c2 * s2])
    return floats(cv2.GaussianBlur(maps, (0, 0), 0.8))


def surroundings(values: Floats, inside: Floats, reach: float) -> Floats:
    """Mean of the values within about ``reach`` pixels, over the pixels inside only."""
    step = max(1, int(reach / 3))
    small = (max(1, values.shape[1] // step), max(1, values.shape[0] // step))
    both = cv2.resize(cv2.merge([values, inside]), small, interpolation=cv2.INTER_AREA)
    both = cv2.GaussianBlur(both, (0, 0), reach / step)
    mean = both[..., 0] / (both[..., 1] + 1e-3)
    return floats(cv2.resize(mean, (values.shape[1], values.shape[0]), interpolation=cv2.INTER_LINEAR))
