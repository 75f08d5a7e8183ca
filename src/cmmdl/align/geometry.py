"""Matrices on pixel coordinates: x to the right, y down, whole numbers at the centres of pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Points = NDArray[np.float64]
Size = tuple[int, int]
"""Width and height in pixels."""


def moved(matrix: Matrix, points: Points) -> Points:
    """``(n, 2)`` points through a 3x3 matrix."""
    ahead = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return ahead[:, :2] / ahead[:, 2:]


def inverse(matrix: Matrix) -> Matrix:
    """The matrix of the way back."""
    return np.asarray(np.linalg.inv(matrix), np.float64)


def resizing(before: Size, after: Size) -> Matrix:
    """The matrix from pixels of a picture to those of its resized copy."""
    x, y = after[0] / before[0], after[1] / before[1]
    return np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5], [0, 0, 1]])


def shifting(x: float, y: float) -> Matrix:
    """The matrix that moves by ``(x, y)`` pixels."""
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


def turning(degrees: float, zoom: float, middle: tuple[float, float]) -> Matrix:
    """The matrix that turns clockwise on the screen and enlarges about a point."""
    angle = np.deg2rad(degrees)
    c, s = zoom * np.cos(angle), zoom * np.sin(angle)
    inner = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    return shifting(*middle) @ inner @ shifting(-middle[0], -middle[1])


def mirroring(size: Size) -> Matrix:
    """The matrix that exchanges left and right."""
    return np.array([[-1.0, 0, size[0] - 1], [0, 1, 0], [0, 0, 1]])


def middle(size: Size) -> tuple[float, float]:
    """The centre of a picture."""
    return (size[0] - 1) / 2, (size[1] - 1) / 2


def corners(size: Size) -> Points:
    """``(4, 2)`` centres of the corner pixels, clockwise from the top left."""
    right, bottom = size[0] - 1.0, size[1] - 1.0
    return np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]])


def slopes(matrix: Matrix, size: Size) -> Matrix:
    """The 2x2 derivative of a transform in the middle of a picture."""
    x, y = middle(size)
    here, right, below = moved(matrix, np.array([[x, y], [x + 1e-3, y], [x, y + 1e-3]]))
    return np.column_stack([right - here, below - here]) / 1e-3


def zoom(matrix: Matrix, size: Size) -> float:
    """By how much lengths grow in the middle of a picture."""
    return float(np.sqrt(abs(np.linalg.det(slopes(matrix, size)))))


def corner_error(a: Matrix, b: Matrix, size: Size) -> float:
    """Mean distance between where two transforms take the corners of a picture, in pixels."""
    return float(np.linalg.norm(moved(a, corners(size)) - moved(b, corners(size)), axis=1).mean())


def overlap(matrix: Matrix, moving: Size, fixed: Size) -> tuple[float, float, float, float] | None:
    """Left, top, right and bottom of the part of one picture that the frame of another reaches; None under 8 pixels."""
    frame = moved(matrix, corners(moving))
    left, top = np.maximum(frame.min(axis=0), 0)
    right, bottom = np.minimum(frame.max(axis=0), np.array(fixed) - 1.0)
    if not (np.isfinite(frame).all() and right - left >= 7 and bottom - top >= 7):
        return None
    return float(left), float(top), float(right), float(bottom)


def sane(matrix: Matrix, moving: Size) -> bool:
    """Whether a transform keeps a picture's sides in order: no fold, no collapse, the horizon outside the frame."""
    if not np.isfinite(matrix).all():
        return False
    depths = np.column_stack([corners(moving), np.ones(4)]) @ matrix[2]
    if depths.min() <= 0.2 * depths.max():
        return False
    a, b, c, d = moved(matrix, corners(moving))
    areas = [_area(*three) for three in ((a, b, c), (b, c, d), (c, d, a), (d, a, b))]
    return bool(min(areas) > 0.2 * max(areas) > 0)


def _area(a: Points, b: Points, c: Points) -> float:
    (x, y), (u, v) = b - a, c - a
    return float(x * v - y * u)
