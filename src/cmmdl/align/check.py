"""A quick look at a pair before it is fused: shifted, mirrored, of another scene, or nothing to say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cmmdl.align.geometry import Size, corners, middle
from cmmdl.align.maps import Floats, floats
from cmmdl.align.thumbs import Blocks, Similarity, agree, blocks, edges, likeness, mirror, peaks, strength, thumbnail
from cmmdl.align.transform import tolerance

FIRST, SECOND = 0.27, 0.5
"""Longer side of the thumbnails at the first look, and at a second one where the first is in doubt, as shares."""
LEAST, MOST, CLOSER = 64, 128, 192
"""Bounds of the first look's thumbnails in pixels, and the upper one of the second's."""
SURE = 2.0
"""Kinship from which one look is enough."""
LIKELY = 0.9
"""Kinship from which a shift is believed at the second look."""
UNLIKELY = -0.8
"""Kinship under which the second look calls two pictures foreign."""
MARGIN = 0.5
"""Pixels of the thumbnails by which a shift must exceed the tolerance: what a look at this size can be off by."""
CLEARLY = 0.8
"""Likeness where a shifted pair lies, against where it fits, above which nothing is said."""
LEAST_SIDE = 96
"""Pixels of a side below which there is too little in a picture to tell another scene."""
BACKGROUND = 0.3
"""Share of empty background in both pictures from which nothing is said: slices of a head, alike in all orders."""


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


@dataclass(frozen=True)
class Seen:
    """What thumbnails show.

    Attributes:
        kin: Kinship of the pictures: about 5 where they show one scene, -2 where they do not; a log-odds.
        kin_mirrored: The same of the mirrored infrared picture; minus infinity where the straight one fits better.
        whole: Shift at which all of the two fits best.
        blocks: Around that shift.
        fit: What the blocks agree on.
    """

    kin: float
    kin_mirrored: float
    whole: complex
    blocks: Blocks
    fit: Similarity


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
    if min(*ir.shape[:2], *size) < LEAST_SIDE:
        return Look("unsure")
    first = thumbnails(ir, vis, int(np.clip(FIRST * max(size), LEAST, MOST)))
    if not telling(first):
        return Look("unsure")
    seen = compared(*first)
    closer = int(np.clip(SECOND * max(size), LEAST, CLOSER))
    if max(seen.kin, seen.kin_mirrored) < SURE and closer > 1.4 * max(seen.blocks.size):
        seen = compared(*thumbnails(ir, vis, closer))
    return told(seen, size)


def thumbnails(ir: NDArray[Any], vis: NDArray[Any], long_side: int) -> tuple[Floats, Floats]:
    """Both pictures at the same small size."""
    one, two = thumbnail(ir, long_side), thumbnail(vis, long_side)
    return (one if one.shape == two.shape else floats(cv2.resize(one, two.shape[1::-1]))), two


def telling(thumbs: tuple[Floats, Floats]) -> bool:
    """Whether both hold something to go by, and not both of them an object on an empty background."""
    empty = 1.0
    for thumb in thumbs:
        values = thumb if np.isfinite(thumb.sum()) else thumb[np.isfinite(thumb)]
        low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
        if min(thumb.shape) < 24 or not values.std() > 0.02 * (high - low) > 1e-6 * abs(high):
            return False
        empty = min(empty, np.count_nonzero(values < low + 0.01 * (high - low)) / values.size)
    return empty <= BACKGROUND


def compared(ir: Floats, vis: Floats) -> Seen:
    """Correlates two thumbnails, straight and mirrored, then their blocks."""
    one, two = edges(ir), edges(vis)
    (straight, shift), (mirrored, back) = peaks(one, two)
    lead = math.log(max(straight, 1e-6) / max(mirrored, 1e-6))
    found = blocks(one, two, shift)
    fit = agree(found)
    flipped = -math.inf
    if lead < 0:
        other = blocks(mirror(one), two, back)
        flipped = kinship(-lead, strength(other, agree(other)))
    return Seen(kinship(lead, strength(found, fit)), flipped, shift, found, fit)


def kinship(lead: float, strong: float) -> float:
    """Log-odds that two pictures show one scene, from a logistic regression on real pairs, right and shuffled.

    Args:
        lead: Logarithm of the height of the straight peak against that of the mirrored one.
        strong: Strength of the blocks' agreement.
    """
    return 5.9 * lead + 2.5 * strong - 4.4


def told(seen: Seen, size: Size) -> Look:
    """The verdict of one look, and the shifts in pixels of the visible picture."""
    if seen.kin_mirrored > max(LIKELY, seen.kin):
        return Look("mirrored")
    if seen.kin < UNLIKELY:
        return Look("foreign")
    if seen.kin < LIKELY:
        return Look("unsure")
    thumb, up = seen.blocks.size, size[0] / seen.blocks.size[0]
    x, y = np.vstack([[middle(thumb)], corners(thumb)]).T
    off = (seen.whole - seen.fit.at(x + 1j * y)) * up
    largest, shift = float(abs(off).max()), (float(off[0].real), float(off[0].imag))
    return Look("shifted" if largest > tolerance(size) + MARGIN * up and clearly(seen) else "aligned", shift, largest)


def clearly(seen: Seen) -> bool:
    """Whether the pictures fit clearly worse as they lie than as the blocks say."""
    centres = seen.blocks.centres
    as_they_lie = likeness(seen.blocks, np.full(len(centres), seen.whole))
    return as_they_lie < CLEARLY * likeness(seen.blocks, seen.fit.at(centres))
