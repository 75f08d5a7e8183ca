"""The simplest transform that explains a pair."""

from __future__ import annotations

import numpy as np

from cmmdl.align.fit import MODELS, agree, excess
from cmmdl.align.geometry import Matrix, Size, middle, moved, resizing, shifting
from cmmdl.align.level import Refined, corrected

ENOUGH = 0.97
"""Share of the best transform's score with which a simpler one is taken."""
WIDTHS = (2.0, 1.5, 1.5, 1.0, 1.0)


def simplest(found: Refined, before: Matrix, ir: Size, vis: Size) -> tuple[str, Matrix]:
    """Chooses among translation, similarity, affine and homography.

    Args:
        found: The last round, with ``affine``.
        before: The transform that it started from.
        ir: Size of the infrared picture.
        vis: Size of the visible picture.

    Returns:
        The name and the matrix.
    """
    matrices = {"translation": only_shift(found.matrix, ir, vis)}
    extent = float(np.hypot(*found.size)) / 2
    for model in MODELS[1:]:
        step = agree(found.surfaces, model, widths=WIDTHS, extent=extent)
        matrices[model] = corrected(before, step, found.grid)
    scores = {model: excess(found.surfaces, step_to(matrix, before, found.grid)) for model, matrix in matrices.items()}
    enough = ENOUGH * max(scores.values())
    model = next(model for model in MODELS if scores[model] >= enough)
    return model, matrices[model]


def only_shift(matrix: Matrix, ir: Size, vis: Size) -> Matrix:
    """Plain resizing, shifted as the transform shifts the middle of the overlap."""
    plain = resizing(ir, vis)
    centre = np.array([middle(ir)])
    x, y = (moved(matrix, centre) - moved(plain, centre))[0]
    return shifting(x, y) @ plain


def step_to(matrix: Matrix, before: Matrix, grid: Matrix) -> Matrix:
    """The correction on the grid that leads from one transform to another."""
    return np.linalg.inv(grid) @ before @ np.linalg.inv(matrix) @ grid
