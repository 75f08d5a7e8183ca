"""Telling equal pictures by their pixels, and alike ones by the signs of their gradients."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cmmdl.files.filepicture import FilePicture
from cmmdl.files.ranges import BY_TYPE, RangeRule, Side, range_of
from cmmdl.files.reading import read_picture

SIDE = 16
"""The picture is scaled to this many rows and columns of differences."""

BITS = SIDE * SIDE


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of a picture.

    Attributes:
        size: Width and height.
        pixels: SHA-256 of depth, size and pixels; the same for a grey picture saved with one channel or three.
        signs: ``(256,)`` of -1 and 1: whether the picture, scaled down, gets brighter from left to right.
        blank: Whether all pixels are equal.
    """

    size: tuple[int, int]
    pixels: str
    signs: NDArray[np.int8]
    blank: bool


def fingerprint(path: Path, rule: RangeRule = BY_TYPE, side: Side = "ir") -> Fingerprint:
    """Reads a picture and keeps what comparisons need.

    Args:
        path: The file.
        rule: Which values mean black and white; a picture of which they leave one value is blank.
        side: Whose option messages name.

    Raises:
        UserError: If it cannot be read, or needs a range.
    """
    return fingerprint_of(read_picture(path), rule, side, str(path))


def fingerprint_of(picture: FilePicture, rule: RangeRule, side: Side, name: str) -> Fingerprint:
    """What is kept of a picture that was read; arguments as of `fingerprint`, with the ``name`` for messages."""
    array = picture.array
    (low, high), _ = range_of(array, picture.white, rule, side=side, name=name)
    blank = min(max(float(array.min()), low), high) == min(max(float(array.max()), low), high)
    if array.ndim == 3 and (array == array[..., :1]).all():
        array = array[..., 0]
    digest = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    height, width = array.shape[:2]
    return Fingerprint((width, height), digest.hexdigest(), difference_signs(array), blank)


def difference_signs(array: NDArray[Any]) -> NDArray[np.int8]:
    """The difference hash of a picture: ``(H, W)`` or ``(H, W, 3)`` of any depth -> ``(256,)`` of -1 and 1.

    Reference: Krawetz. Kind of like that. The Hacker Factor Blog, 2013.
    """
    grey = array.astype(np.float32)
    grey = grey if grey.ndim == 2 else grey.mean(axis=2)
    small = cv2.resize(grey, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA)
    return np.where(np.diff(small, axis=1).ravel() > 0, np.int8(1), np.int8(-1))


def distances(first: NDArray[np.int8], second: NDArray[np.int8]) -> NDArray[np.float32]:
    """Bits that differ: ``(N, K)`` and ``(M, K)`` of -1 and 1 -> ``(N, M)``."""
    return (first.shape[1] - first.astype(np.float32) @ second.astype(np.float32).T) / 2
