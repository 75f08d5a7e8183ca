"""From two pictures to one answer: search, refine, choose the transform, judge it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmmdl.align.choose import simplest
from cmmdl.align.geometry import Matrix, resizing, sane
from cmmdl.align.judge import confidence, evidence
from cmmdl.align.level import Rule, refine
from cmmdl.align.maps import Plane, busy, plane
from cmmdl.align.search import Search, Start, scales
from cmmdl.align.transform import WARPS, Alignment

ROUGH = Rule(256, 40, 20, 10, (6, 5, 4, 4, 3, 3, 2, 2, 1.5, 1.5))
FINE = Rule(512, 56, 28, 8, (4, 3, 2, 2, 1.5, 1.5, 1, 1))

LEAST_SIDE = 24
"""Pixels of the shorter side under which there is nothing to go by."""
SURE = 0.9
"""Score of a guess that needs no wider search."""
PLAUSIBLE = 0.4
"""Score of a guess that is worth a closer look."""


@dataclass(frozen=True)
class Guess:
    """A refined start and how far it stands out: about 0.3 by chance, 1 to 3 where pictures match."""

    matrix: Matrix
    score: float


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
    plain = Alignment(resizing(a.size, b.size), "translation", a.size, b.size, confidence=0.0)
    if min(*a.size, *b.size) < LEAST_SIDE or not (busy(a) and busy(b)):
        return replace(plain, status="too_little_structure")
    best = best_guess(a, b)
    if best.score < PLAUSIBLE:
        return replace(plain, status="mirrored" if looks_mirrored(a, b, best.score) else "foreign")
    return settled(a, b, best, warp, plain)


def best_guess(ir: Plane, vis: Plane) -> Guess:
    """The best start after refinement: near plain resizing first, over all fields of view where that is not sure."""
    search = Search(ir, vis, 160)
    best = refined(ir, vis, starts(search, scales(0.8, 1.25, 1.08), (-8, -4, 0, 4, 8), 4))
    if best.score >= SURE:
        return best
    search = Search(ir, vis, 112)
    wide = starts(search, scales(0.35, 0.79, 1.08) + scales(1.26, 2.4, 1.08), (-6, -2, 2, 6), 5)
    return max(best, refined(ir, vis, wide), key=lambda guess: guess.score)


def starts(search: Search, ratios: list[float], angles: tuple[float, ...], count: int) -> list[Start]:
    """The best of all places over scales and angles."""
    found = [start for ratio in ratios for start in search.at(ratio, angles)]
    return sorted(found, key=lambda start: -start.score)[:count]


def refined(ir: Plane, vis: Plane, found: list[Start]) -> Guess:
    """The best of some starts after a round at low resolution."""
    best = Guess(resizing(ir.size, vis.size), 0.0)
    for start in found:
        better = refine(ir, vis, start.matrix, "similarity", ROUGH)
        if better is not None and sane(better.matrix, ir.size):
            best = max(best, Guess(better.matrix, better.score), key=lambda guess: guess.score)
    return best


def looks_mirrored(ir: Plane, vis: Plane, other: float) -> bool:
    """Whether the infrared picture fits better with left and right exchanged."""
    flipped = Plane(np.ascontiguousarray(ir.grey[:, ::-1]), np.ascontiguousarray(ir.known[:, ::-1]))
    search = Search(flipped, vis, 144)
    found = refined(flipped, vis, starts(search, scales(0.85, 1.18, 1.08), (-4, 0, 4), 3))
    return found.score > max(1.5 * other, 0.55)


def settled(ir: Plane, vis: Plane, guess: Guess, warp: str | None, plain: Alignment) -> Alignment:
    """The transform at full resolution, its kind, and how sure it is."""
    model = "affine" if warp in (None, "elastic") else warp
    matrix = guess.matrix
    for _ in range(2):
        better = refine(ir, vis, matrix, model, FINE)
        if better is None or not sane(better.matrix, ir.size):
            return replace(plain, status="degenerate", matrix=matrix)
        before, matrix = matrix, better.matrix
    if warp is None:
        model, matrix = simplest(better, before, ir.size, vis.size)
    seen = evidence(better.surfaces, better.step, better.size)
    return replace(plain, matrix=matrix, warp=model, confidence=confidence(guess.score, seen))
