"""From two pictures to one answer: search, refine, choose the transform, judge it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmmdl.align.fit import score
from cmmdl.align.geometry import Matrix, corner_error, mirroring, sane
from cmmdl.align.level import Rule, refine
from cmmdl.align.maps import Plane, plane
from cmmdl.align.search import Search, Start, scales
from cmmdl.align.transform import WARPS, Alignment

ROUGH = Rule(256, 40, 20, 10, (6, 5, 4, 4, 3, 3, 2, 2, 1.5, 1.5))
FINE = Rule(512, 56, 28, 8, (4, 3, 2, 2, 1.5, 1.5, 1, 1))


@dataclass(frozen=True)
class Guess:
    """A refined start and how far it stands out."""

    matrix: Matrix
    score: float
    start: Start


def guesses(ir: Plane, vis: Plane, starts: Iterable[Start]) -> list[Guess]:
    """Each start refined at low resolution, the best first."""
    found = []
    for start in starts:
        better = refine(ir, vis, start.matrix, "similarity", ROUGH)
        if better is None or not sane(better[0], ir.size):
            continue
        matrix, surfaces, step = better
        found.append(Guess(matrix, score(surfaces, step)[1] * float(np.sqrt(surfaces.weight.sum())), start))
    return sorted(found, key=lambda guess: -guess.score)


def register(ir: NDArray[Any], vis: NDArray[Any], warp: str | None = None) -> Alignment:
    """Finds how an infrared picture lies on a visible one.

    Args:
        ir: ``(height, width)`` or ``(height, width, channels)``, any number type; NaN where there is no value.
        vis: ``(height, width)`` or ``(height, width, 3)`` RGB, of any size and field of view.
        warp: One of :data:`cmmdl.align.transform.WARPS`; by default the simplest of the first four that explains
            the pair.

    Returns:
        The transform with its status; ``ok`` only where it is sure.

    Raises:
        ValueError: If ``warp`` is none of these.
    """
    if warp is not None and warp not in WARPS:
        raise ValueError(f"the warp must be one of {', '.join(WARPS)}, not {warp!r}")
    a, b = plane(ir), plane(vis)
    search = Search(a, b)
    starts = [s for ratio in scales(0.4, 2.0, 1.08) for s in search.at(ratio, [-8, -4, 0, 4, 8])]
    starts.sort(key=lambda s: -s.score)
    best = guesses(a, b, starts[:8])
    matrix = best[0].matrix
    for _ in range(2):
        better = refine(a, b, matrix, warp if warp in WARPS[:4] else "affine", FINE)
        if better is None:
            break
        matrix = better[0]
    return Alignment(matrix, warp or "affine", a.size, b.size, "ok" if best[0].score > 0.5 else "low_confidence")
