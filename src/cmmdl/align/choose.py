"""The simplest transform that explains a pair."""

from __future__ import annotations

import numpy as np

from cmmdl.align.fit import MODELS, agree, excess
from cmmdl.align.geometry import Matrix, Size, inverse
from cmmdl.align.kinds import nearest
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
    bent = agree(found.surfaces, "homography", widths=WIDTHS, extent=float(np.hypot(*found.size)) / 2)
    matrices = {kind: nearest(found.matrix, kind, ir, vis) for kind in MODELS[:3]}
    matrices["homography"] = corrected(before, bent, found.grid)
    scores = {kind: excess(found.surfaces, step_to(matrix, before, found.grid)) for kind, matrix in matrices.items()}
    enough = ENOUGH * max(scores.values())
    kind = next(kind for kind in MODELS if scores[kind] >= enough)
    return kind, matrices[kind]


def step_to(matrix: Matrix, before: Matrix, grid: Matrix) -> Matrix:
    """The correction on the grid that leads from one transform to another."""
    return inverse(grid) @ before @ inverse(matrix) @ grid
