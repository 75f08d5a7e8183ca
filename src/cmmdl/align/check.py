"""A quick look at a pair before it is fused: shifted, mirrored, of another scene, or nothing to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from cmmdl.align.blocks import planes, surfaces
from cmmdl.align.fit import agree
from cmmdl.align.geometry import Matrix, Size, corners, inverse, middle, moved, shifting
from cmmdl.align.judge import strength, support
from cmmdl.align.maps import Floats, Plane, floats, plane, structure
from cmmdl.align.transform import tolerance

LONG_SIDE = 128
"""Of the pictures as they are looked at, in pixels."""
BLOCK, STEP, RADIUS = 32, 24, 5
WIDTHS = (4.0, 3.0, 2.0, 1.5)
SURE = 2.0
"""Strength of the blocks' agreement from which a shift is believed."""
MARGIN = 0.75
"""Pixels of the thumbnails by which a shift must exceed the tolerance: what a look at this size can be off by."""
UNLIKE = 0.8
"""Height of the mirrored peak against the straight one from which the pair may be of two scenes."""
LEAST_SIDE = 64
"""Pixels of a side below which there is too little in a picture to tell another scene."""

BACKGROUND = 0.3
"""Share of empty background in both pictures from which nothing is said: slices of a head, alike in all orders."""
FLIPPED = 1.3
"""The same from which it is likely mirrored."""


@dataclass(frozen=True)
class Look:
    """What a quick look says.

    Attributes:
        verdict: ``aligned``, ``shifted``, ``mirrored``, ``foreign`` (another scene), or ``unsure``.
        shift: Right and down shift in the middle, in pixels of the visible picture.
        largest: Largest shift of the middle and the corners, in the same pixels.
    """

    verdict: str
    shift: tuple[float, float] = (0.0, 0.0)
    largest: float = 0.0

    def __str__(self) -> str:
        if self.verdict == "shifted":
            x, y = self.shift
            return f"shifted by {self.largest:.0f} pixels ({x:+.0f}, {y:+.0f} in the middle)"
        return {"mirrored": "mirrored", "foreign": "of another scene"}.get(self.verdict, self.verdict)


def look(ir: NDArray[Any], vis: NDArray[Any]) -> Look:
    """Looks at a pair at thumbnail size; takes milliseconds.

    It sees shifts up to a third of the picture and a few degrees or per cent; ``register`` sees more and is surer.

    Args:
        ir: ``(height, width)`` or ``(height, width, channels)``, any number type.
        vis: The same; of any size with about the same field of view.

    Returns:
        The verdict; ``unsure`` where there is too little to go by.
    """
    size = vis.shape[1], vis.shape[0]
    a, b = thumbnail(ir), thumbnail(vis)
    if (
        min(*ir.shape[:2], *vis.shape[:2]) < LEAST_SIDE
        or min(*a.size, *b.size) < 24
        or not (a.grey.std() > 0.02 and b.grey.std() > 0.02)
    ):
        return Look("unsure")
    if min(empty(a), empty(b)) > BACKGROUND:
        return Look("unsure")
    if a.size != b.size:
        a = Plane(floats(cv2.resize(a.grey, b.size)), floats(cv2.resize(a.known, b.size)))
    one, two = structure(a.grey, a.known), structure(b.grey, b.known)
    height, shift, ratio, back = peaks(one, two)
    strong, step = agreement(one, two, shift)
    if ratio < UNLIKE or height == 0:
        return told(step, shift, b.size, size) if strong >= SURE else Look("unsure")
    other, _ = agreement(mirror(one), two, back)
    if other > (1.2 if ratio > FLIPPED else 2.0) and other > strong:
        return Look("mirrored")
    if strong < 1.3:
        return Look("foreign")
    return told(step, shift, b.size, size) if strong >= SURE else Look("unsure")


def empty(thumb: Plane) -> float:
    """Share of the picture that is as dark as its darkest pixel."""
    return float((thumb.grey < 0.01).mean())


def told(step: Matrix, shift: tuple[int, int], thumb: Size, size: Size) -> Look:
    """The shifts of a transform between thumbnails, in pixels of the visible picture."""
    matrix = inverse(step) @ shifting(*shift)
    points = np.vstack([[middle(thumb)], corners(thumb)])
    up = size[0] / thumb[0]
    off = (moved(matrix, points) - points) * up
    largest = float(np.linalg.norm(off, axis=1).max())
    beyond = largest > tolerance(size) + MARGIN * up
    return Look("shifted" if beyond else "aligned", (float(off[0, 0]), float(off[0, 1])), largest)


def thumbnail(picture: NDArray[Any]) -> Plane:
    """The picture as grey levels, its longer side :data:`LONG_SIDE` or as it is."""
    scale = LONG_SIDE / max(picture.shape[:2])
    if scale >= 1:
        return plane(picture)
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    simple = picture if picture.dtype in (np.uint8, np.uint16, np.float32) else picture.astype(np.float32)
    return plane(cv2.resize(np.ascontiguousarray(simple), size, interpolation=cv2.INTER_AREA))


def mirror(maps: Floats) -> Floats:
    """Edge maps with left and right exchanged; angles change their sign."""
    return np.ascontiguousarray(maps[:, ::-1]) * np.array([1, -1, 1, -1], np.float32)


def peaks(a: Floats, b: Floats) -> tuple[float, tuple[int, int], float, tuple[int, int]]:
    """Correlates edge maps, straight and mirrored.

    Returns:
        Height and shift of the straight peak, the mirrored one's height against it, and its shift.
    """
    height, width = b.shape[:2]
    shape = fft.next_fast_len(height * 4 // 3), fft.next_fast_len(width * 4 // 3)
    fixed = [fft.fft2(z, shape) for z in planes(b)]
    found = []
    for maps in (a, mirror(a)):
        product = sum(np.conj(fft.fft2(z, shape)) * f for z, f in zip(planes(maps), fixed, strict=True))
        surface = fft.ifft2(product).real
        row, column = (int(i) for i in np.unravel_index(int(surface.argmax()), surface.shape))
        shift = column - shape[1] * (column > shape[1] // 2), row - shape[0] * (row > shape[0] // 2)
        found.append((float(surface[row, column]), shift))
    (straight, shift), (mirrored, back) = found
    return straight, shift, mirrored / max(straight, 1e-9), back


def agreement(a: Floats, b: Floats, shift: tuple[int, int]) -> tuple[float, Matrix]:
    """How well blocks agree on a similarity near a shift, and that correction, from visible to infrared."""
    height, width = b.shape[:2]
    here = cv2.warpAffine(a, shifting(*shift)[:2], (width, height), flags=cv2.INTER_NEAREST)
    both = cv2.warpAffine(np.ones((height, width), np.float32), shifting(*shift)[:2], (width, height))
    found = surfaces(b, floats(here), floats(both), size=BLOCK, step=STEP, radius=RADIUS)
    if len(found.centres) < 4:
        return 0.0, np.eye(3)
    step = agree(found, "similarity", widths=WIDTHS, extent=float(np.hypot(width, height)) / 2)
    return strength(support(found, step)), step
