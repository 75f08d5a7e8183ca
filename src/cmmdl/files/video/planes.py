"""The pixels of a decoded frame as arrays: luma expanded to the full range, colour as RGB."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

FULL_RANGE = 2
"""``color_range`` of ITU-T H.273 and FFmpeg for luma from 0 to the type's maximum; 1 is 16 to 235."""


def depth(frame: Any) -> int:
    """Bits of a component."""
    return max(component.bits for component in frame.format.components)


def white(frame: Any, *, colour: bool) -> float | None:
    """The value that means white in what `grey` or `rgb` gives; None if that is the maximum of its type."""
    bits = depth(frame)
    counts = _is_grey(frame) and not _is_limited(frame) and bits not in (8, 16)
    return float(2**bits - 1) if counts else None


def grey(frame: Any) -> Array:
    """The luma as it is stored, ``(H, W)``, limited range expanded to the full one.

    8 bits come as uint8. Deeper luma comes as uint16 from 0 to 65535, deeper grey of full range as the counts that are
    stored, see `white`. Frames that are stored as RGB come as ``(H, W, 3)``.
    """
    if frame.format.is_rgb or frame.format.has_palette:
        return rgb(frame)
    if not _is_planar_luma(frame):
        frame = frame.reformat(format="yuv422p" if depth(frame) == 8 else "yuv444p16le", threads=1)
    luma, bits = _plane(frame), depth(frame)
    if bits == 8:
        return _expansion(8)[luma] if _is_limited(frame) else luma
    if _is_limited(frame):
        return _expansion(bits)[luma]
    return luma if _is_grey(frame) else (luma.astype(np.uint32) * 65535 // (2**bits - 1)).astype(np.uint16)


def rgb(frame: Any) -> Array:
    """``(H, W, 3)`` RGB, uint8, or uint16 for deeper frames; frames without colour as in `grey`."""
    if _is_grey(frame):
        return grey(frame)
    return frame.to_ndarray(format="rgb24" if depth(frame) == 8 else "rgb48le", threads=1)


def is_coloured(frame: Any) -> bool:
    """Whether the chroma of a frame leaves neutral in more than a hundredth of it."""
    if _is_grey(frame) or frame.format.is_rgb or frame.format.has_palette:
        return False
    chroma = frame.reformat(format="yuv444p", threads=1)
    apart = [np.abs(_plane(chroma, index).astype(np.int16) - 128) > 16 for index in (1, 2)]
    return float(np.mean(apart[0] | apart[1])) > 0.01


def _is_grey(frame: Any) -> bool:
    return frame.format.name.startswith("gray")


def _is_planar_luma(frame: Any) -> bool:
    return _is_grey(frame) or frame.format.name.startswith(("yuv4", "yuvj", "yuva", "nv12", "nv21", "nv16"))


def _is_limited(frame: Any) -> bool:
    """Whether luma runs from 16 to 235; what is stored as grey and says nothing is full."""
    if _is_grey(frame):
        return int(frame.color_range) == 1
    return int(frame.color_range) != FULL_RANGE and not frame.format.name.startswith("yuvj")


def _plane(frame: Any, index: int = 0) -> Array:
    """One plane without the padding of its rows."""
    plane, wide = frame.planes[index], depth(frame) > 8
    order = ">" if frame.format.is_big_endian else "<"
    values = np.frombuffer(plane, np.dtype(f"{order}u2") if wide else np.uint8)
    rows = values.reshape(-1, plane.line_size // (2 if wide else 1))[: plane.height, : plane.width]
    return np.ascontiguousarray(rows, np.uint16 if wide else np.uint8)


@lru_cache(maxsize=4)
def _expansion(bits: int) -> Array:
    """From each limited level to the full range: uint8 of 8 bits, uint16 of more."""
    kind = np.uint8 if bits == 8 else np.uint16
    top, unit = np.iinfo(kind).max, 2 ** (bits - 8)
    levels = (np.arange(2**bits) - 16 * unit) * (top / (219 * unit))
    return np.clip(np.round(levels), 0, top).astype(kind)
