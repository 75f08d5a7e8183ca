"""One transform that most blocks agree with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cmmdl.align.blocks import Surfaces
from cmmdl.align.geometry import Matrix, inverse, moved

MODELS = ("translation", "similarity", "affine", "homography")
SHARPNESS = 25.0
"""How much likelier a shift becomes with each unit of correlation (natural logarithm)."""


def design(points: NDArray[np.float64], model: str) -> NDArray[np.float64]:
    """``(2 n, parameters)`` derivatives of the shift at points in about [-1, 1] by each parameter."""
    x, y = points.T
    one, none = np.ones_like(x), np.zeros_like(x)
    columns = [(one, none), (none, one), (x, y), (-y, x), (x, -y), (y, x), (x * x, x * y), (x * y, y * y)]
    count = {"translation": 2, "similarity": 4, "affine": 6, "homography": 8}[model]
    return np.stack([np.stack(column, axis=1) for column in columns[:count]], axis=-1).reshape(-1, count)


def as_matrix(values: NDArray[np.float64], middle: NDArray[np.float64], radius: float) -> Matrix:
    """The parameters of :func:`design` as a matrix on pixels; shifts are in pixels, points in units of ``radius``."""
    tx, ty, s, r, a, b, p, q = np.append(values / radius, np.zeros(8 - len(values)))
    inner = np.array([[1 + s + a, -r + b, tx], [r + b, 1 + s - a, ty], [-p, -q, 1]])
    scale = np.array([[1 / radius, 0, -middle[0] / radius], [0, 1 / radius, -middle[1] / radius], [0, 0, 1]])
    return inverse(scale) @ inner @ scale


PRIOR = np.array([0, 0, 0, 0, 1.0, 1.0, 4.0, 4.0])
"""Strength with which shear, stretch and perspective are held at zero."""


def agree(surfaces: Surfaces, model: str, *, widths: tuple[float, ...], extent: float, prior: float = 0.02) -> Matrix:
    """Follows the surfaces uphill with one transform, looking less far around it each time.

    Each block's shift is the mean over its surface, weighted by likeness and by nearness to the present transform
    (mean shift, Comaniciu and Meer, 2002); the transform is the weighted least-squares fit to these.

    Args:
        surfaces: Of all blocks.
        model: One of :data:`MODELS`.
        widths: Sigma of the nearness at each round, in pixels.
        extent: Half the diagonal of the picture, in pixels; scales the parameters.
        prior: Weight of :data:`PRIOR`.

    Returns:
        The matrix by which blocks move from their centres.
    """
    middle = surfaces.centres.mean(axis=0)
    points = (surfaces.centres - middle) / extent
    columns = design(points, model)
    likely = likelihood(surfaces)
    matrix = np.eye(3)
    for width in widths:
        target, trust = follow(surfaces, likely, moved(matrix, surfaces.centres) - surfaces.centres, width)
        matrix = as_matrix(solve(columns, target, trust, prior), middle, extent)
    return matrix


def likelihood(surfaces: Surfaces) -> NDArray[np.float64]:
    """How likely each shift of each block is, up to a factor."""
    return np.exp(SHARPNESS * surfaces.values.astype(np.float64))


def follow(
    surfaces: Surfaces, likely: NDArray[np.float64], shift: NDArray[np.float64], width: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where each block would go from its present shift, and how much its word counts.

    Args:
        surfaces: Of all blocks.
        likely: Their :func:`likelihood`.
        shift: ``(blocks, 2)`` present shifts in x and y.
        width: Sigma of the neighbourhood looked at, in pixels.

    Returns:
        ``(blocks, 2)`` shifts and ``(blocks,)`` weights.
    """
    side = np.arange(-surfaces.radius, surfaces.radius + 1, dtype=np.float64)
    near_x = np.exp(-((side - shift[:, :1]) ** 2) / (2 * width**2))
    near_y = np.exp(-((side - shift[:, 1:]) ** 2) / (2 * width**2))
    by_x = np.einsum("kyx,ky->kx", likely, near_y) * near_x
    by_y = np.einsum("kyx,kx->ky", likely, near_x) * near_y
    mass = by_x.sum(axis=1) + 1e-12
    target = np.stack([by_x @ side / mass, by_y @ side / (by_y.sum(axis=1) + 1e-12)], axis=1)
    there = mass / (near_x.sum(axis=1) * near_y.sum(axis=1) + 1e-9)
    return target.astype(np.float64, copy=False), surfaces.weight * np.clip(
        np.log(there / likely.mean(axis=(1, 2)) + 1e-9), 0.02, 4
    )


def solve(
    columns: NDArray[np.float64], target: NDArray[np.float64], trust: NDArray[np.float64], prior: float
) -> NDArray[np.float64]:
    """Weighted least squares with :data:`PRIOR`."""
    weight = np.repeat(trust / max(float(trust.sum()), 1e-9), 2)
    held = np.diag(prior * PRIOR[: columns.shape[1]] + 1e-9)
    normal = columns.T @ (weight[:, None] * columns) + held
    return np.asarray(np.linalg.solve(normal, columns.T @ (weight * target.reshape(-1))), np.float64)


def excess(surfaces: Surfaces, matrix: Matrix) -> float:
    """Mean likeness of the blocks under a transform, less that of all their shifts."""
    at = sample(surfaces, moved(matrix, surfaces.centres) - surfaces.centres)
    weight = surfaces.weight / max(float(surfaces.weight.sum()), 1e-9)
    return float((weight * (at - surfaces.values.mean(axis=(1, 2)))).sum())


def sample(surfaces: Surfaces, shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Likeness of each block at its own shift, linear between pixels, 0 outside the surfaces."""
    r = surfaces.radius
    at = np.clip(shift + r, 0, 2 * r - 1e-6)
    (x, y), (u, v) = at.astype(int).T, np.modf(at)[0].T
    k, values = np.arange(len(at)), surfaces.values
    above = (1 - u) * values[k, y, x] + u * values[k, y, x + 1]
    below = (1 - u) * values[k, y + 1, x] + u * values[k, y + 1, x + 1]
    return np.where((np.abs(shift) <= r).all(axis=1), (1 - v) * above + v * below, 0.0)
