"""What one matrix cannot say: a smooth field on top, for parallax and lenses."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cmmdl.align.blocks import Surfaces, surfaces
from cmmdl.align.fit import follow, likelihood, sample
from cmmdl.align.geometry import Matrix, Size, inverse, moved
from cmmdl.align.kinds import through
from cmmdl.align.level import Level, Rule, level
from cmmdl.align.maps import Floats, Plane, floats

RULE = Rule(512, 48, 7, (3.0, 2.5, 2.0, 1.5, 1.5))
NODES = 12
"""Of the field along the longer side."""
LEAST_NODES = 12
"""Within the infrared picture, without which the field says nothing of its whole."""
STIFF = 0.05
"""Weight of the field's bending against the blocks."""
SHORT = 0.0005
"""Weight of its length."""


def field(ir: Plane, vis: Plane, matrix: Matrix, step: int = RULE.size // 2) -> NDArray[np.float32] | None:
    """A smooth field that lies on top of a transform.

    Blocks vote as for one matrix; a grid of nodes with bending stiffness takes the matrix' place.

    Args:
        ir: The infrared picture.
        vis: The visible one.
        matrix: Infrared to visible, right but for the field.
        step: Pixels of the grid between blocks.

    Returns:
        ``(rows, columns, 2)`` as :attr:`cmmdl.align.transform.Alignment.field`; None where blocks fit no better with
        it than without.
    """
    here = level(ir, vis, matrix, RULE.long_side)
    if here is None:
        return None
    nodes = shape(vis.size)
    bent = np.zeros((nodes[1] * nodes[0], 2))
    scale = 1 / here.matrix[0, 0]
    seen: list[tuple[Surfaces, NDArray[np.float64]]] = []
    for _ in range(2):
        found = look(here, displaced(here, bent, nodes, vis.size), step)
        if len(found.centres) < 12:
            return None
        basis = weights(moved(here.matrix, found.centres), nodes, vis.size)
        change = settle(found, basis, bent * scale, stiffness(nodes))
        seen.append((found, basis))
        bent = bent + change / scale
    gain = value(*seen[0], bent * scale) - value(*seen[0], np.zeros_like(bent))
    return bent.reshape(nodes[1], nodes[0], 2).astype(np.float32) if gain > 0 else None


def levelled(matrix: Matrix, bend: NDArray[np.float32], ir: Size, vis: Size) -> Matrix:
    """An affine transform that leans half-way towards the one that lies evenly within its field.

    The transform by itself lies right where most blocks are; the field's mean, right where it is right at all.

    Args:
        matrix: Infrared to visible.
        bend: Its :func:`field`.
        ir: Width and height of the infrared picture.
        vis: Width and height of the visible picture.
    """
    rows, columns = bend.shape[:2]
    x, y = np.meshgrid(np.linspace(0, vis[0] - 1, columns), np.linspace(0, vis[1] - 1, rows))
    there = np.stack([x.ravel(), y.ravel()], axis=1)
    here = moved(inverse(matrix), there + bend.reshape(-1, 2))
    inside = ((here >= 0) & (here <= np.array(ir) - 1)).all(axis=1)
    if inside.sum() < LEAST_NODES:
        return matrix
    even = through(here[inside], there[inside], "affine", matrix)
    return (matrix / matrix[2, 2] + even) / 2


def shape(size: Size) -> Size:
    """Columns and rows of the nodes for a picture."""
    apart = max(size) / (NODES - 1)
    return max(4, round(size[0] / apart) + 1), max(4, round(size[1] / apart) + 1)


def look(here: Level, ir: Floats, step: int) -> Surfaces:
    """The surfaces of blocks under the present field."""
    return surfaces(here.vis, ir, here.both, size=RULE.size, step=step, radius=RULE.radius)


def displaced(here: Level, bent: NDArray[np.float64], nodes: Size, vis: Size) -> Floats:
    """Infrared edge maps taken from where the field points."""
    if not bent.any():
        return here.ir
    height, width = here.both.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    at = moved(here.matrix, np.stack([x.ravel(), y.ravel()], axis=1))
    u = at[:, 0] * ((nodes[0] - 1) / max(vis[0] - 1, 1))
    v = at[:, 1] * ((nodes[1] - 1) / max(vis[1] - 1, 1))
    grid = (bent.reshape(nodes[1], nodes[0], 2) / here.matrix[0, 0]).astype(np.float32)
    u, v = u.reshape(height, width).astype(np.float32), v.reshape(height, width).astype(np.float32)
    move = cv2.remap(grid, u, v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    x, y = (x + move[..., 0]).astype(np.float32), (y + move[..., 1]).astype(np.float32)
    return floats(cv2.remap(here.ir, x, y, cv2.INTER_LINEAR))


def weights(points: NDArray[np.float64], nodes: Size, vis: Size) -> NDArray[np.float64]:
    """``(points, nodes)`` share of each node at each point of the visible picture, linear between nodes."""
    spread = []
    for axis in (0, 1):
        at = points[:, axis] * ((nodes[axis] - 1) / max(vis[axis] - 1, 1))
        spread.append(np.clip(1 - np.abs(at[:, None] - np.arange(nodes[axis])), 0, 1))
    return (spread[1][:, :, None] * spread[0][:, None, :]).reshape(len(points), -1)


def stiffness(nodes: Size) -> NDArray[np.float64]:
    """Bending and length of a field as a quadratic form on its nodes."""
    columns, rows = nodes
    index = np.arange(rows * columns).reshape(rows, columns)
    form = SHORT * np.eye(rows * columns)
    for a, b, c in ((index[:, :-2], index[:, 1:-1], index[:, 2:]), (index[:-2], index[1:-1], index[2:])):
        for i, j, k in zip(a.ravel(), b.ravel(), c.ravel(), strict=True):
            form[np.ix_((i, j, k), (i, j, k))] += STIFF * np.outer((1, -2, 1), (1, -2, 1))
    return form


def settle(
    found: Surfaces, basis: NDArray[np.float64], before: NDArray[np.float64], form: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The correction of the nodes that most blocks agree with, in pixels of the grid."""
    likely = likelihood(found)
    step = np.zeros_like(before)
    for width in RULE.widths:
        target, trust = follow(found, likely, basis @ step, width)
        trust = trust / max(float(trust.sum()), 1e-9)
        normal = basis.T @ (trust[:, None] * basis) + form / len(form)
        step[:] = np.linalg.solve(normal, basis.T @ (trust[:, None] * target) - form / len(form) @ before)
    return step


def value(found: Surfaces, basis: NDArray[np.float64], bent: NDArray[np.float64]) -> float:
    """Mean likeness of the blocks under a field."""
    return float((found.weight * sample(found, basis @ bent)).sum() / max(float(found.weight.sum()), 1e-9))
