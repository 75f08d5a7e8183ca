"""Kinds of transforms, and the nearest one of a kind to any other."""

from __future__ import annotations

import numpy as np

from cmmdl.align.geometry import Matrix, Points, Size, inverse, moved, overlap, resizing


def nearest(matrix: Matrix, kind: str, ir: Size, vis: Size) -> Matrix:
    """The transform of a kind that moves the overlap most like another does.

    Args:
        matrix: Infrared to visible pixels.
        kind: ``translation`` (plain resizing, then a shift), ``similarity``, ``affine`` or ``homography``.
        ir: Width and height of the infrared picture.
        vis: Width and height of the visible picture.
    """
    box = overlap(matrix, ir, vis) or (0.0, 0.0, vis[0] - 1.0, vis[1] - 1.0)
    x, y = np.meshgrid(np.linspace(box[0], box[2], 7), np.linspace(box[1], box[3], 7))
    there = np.stack([x.ravel(), y.ravel()], axis=1)
    return through(moved(inverse(matrix), there), there, kind, resizing(ir, vis))


def through(before: Points, after: Points, kind: str, plain: Matrix) -> Matrix:
    """The transform of a kind that takes points nearest to others.

    Args:
        before: ``(n, 2)`` points of the infrared picture, n at least 4.
        after: ``(n, 2)`` where they belong.
        kind: As in :func:`nearest`.
        plain: The matrix of plain resizing, to which a translation adds a shift.
    """
    if kind == "translation":
        x, y = (after - moved(plain, before)).mean(axis=0)
        return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]]) @ plain
    (x, y), (u, v) = before.T, after.T
    one, none = np.ones(len(x)), np.zeros(len(x))
    right = np.concatenate([u, v])
    if kind == "similarity":
        rows = np.vstack([np.stack([x, -y, one, none], axis=1), np.stack([y, x, none, one], axis=1)])
        a, b, s, t = np.linalg.lstsq(rows, right, rcond=None)[0]
        return np.array([[a, -b, s], [b, a, t], [0, 0, 1.0]])
    upper = [np.stack([x, y, one, none, none, none], axis=1), np.stack([none, none, none, x, y, one], axis=1)]
    if kind == "affine":
        values = np.linalg.lstsq(np.vstack(upper), right, rcond=None)[0]
        return np.vstack([values.reshape(2, 3), [0, 0, 1]])
    lower = [np.stack([-u * x, -u * y], axis=1), np.stack([-v * x, -v * y], axis=1)]
    rows = np.vstack([np.hstack(pair) for pair in zip(upper, lower, strict=True)])
    return np.append(np.linalg.lstsq(rows, right, rcond=None)[0], 1.0).reshape(3, 3)
