"""From two pictures to one answer: search, refine, choose the transform, judge it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmmdl.align.choose import simplest
from cmmdl.align.elastic import field, levelled
from cmmdl.align.geometry import (
    Matrix,
    Size,
    corner_error,
    inverse,
    middle,
    moved,
    overlap,
    resizing,
    sane,
    shifting,
    turning,
    zoom,
)
from cmmdl.align.judge import STRONG, Evidence, confidence, evidence, strength
from cmmdl.align.kinds import nearest
from cmmdl.align.level import Refined, Rule, refine
from cmmdl.align.maps import Plane, busy, plane
from cmmdl.align.search import Search, Start, scales
from cmmdl.align.transform import WARPS, Alignment

COARSE = Rule(160, 36, 8, (5, 4, 4, 3, 3, 2, 2))
ROUGH = Rule(256, 40, 10, (6, 5, 4, 4, 3, 3, 2, 2, 1.5, 1.5))
FINE = Rule(512, 56, 8, (4, 3, 3, 2, 2, 2))

LEAST_SIDE = 24
"""Pixels of the shorter side under which there is nothing to go by."""
LIKELY = ("ok", "low_confidence")
"""Status of a transform that blocks agree on beyond chance."""
PLAUSIBLE = 0.4
"""Score of a guess that is worth a closer look."""
CLEAR = 1.3
"""Score of a guess after which no other is looked at."""
CLOSER = 2
"""Of the starts, how many get past the lowest resolution."""
ROUNDS, RISE = 2, 0.05
"""Further rounds of a guess that is not clear, as long as its score rises by this."""
FINE_ROUNDS = 4
"""At full resolution at most."""
SMALL = 1.0
"""Correction in pixels of the grid after which no further round is made."""
FARTHEST, MORE = 1.25, 1.7
"""Scale beyond which, either way, the strength must be so many times as great, unless the guess was clear: among more
places chance finds more."""
RIVAL = 1.3
"""How many times the score of the mirrored picture an answer that is not clear must have."""
LEAD, MOST_LESS = 1.5, 1.25
"""From so many times that score on, the strength may be less, by the root of the rest and at most by a factor."""
LEAST_MIRRORED = 0.5
"""Score from which the mirrored picture is said to fit."""
SPARSE = 36
"""Pixels of the grid between the blocks by which an affine transform is levelled: it needs fewer than a field does."""
SURE = 0.97
"""Confidence from which the mirrored picture is not looked at."""
GATE = 0.5
"""Confidence from which an answer is given as sure."""
CHANCE = 2.0
"""Strength under which blocks agree no more than those of unrelated pictures."""
LEAST_SPREAD = 0.2
"""Extent of the agreeing blocks, against that of the overlap, under which corners are guesswork."""


@dataclass(frozen=True)
class Guess:
    """A refined start and how far it stands out: about 0.3 by chance, 1 to 3 where pictures match."""

    matrix: Matrix
    score: float


@dataclass(frozen=True)
class Settled:
    """A transform at full resolution and what speaks for it.

    Attributes:
        answer: The transform; its status is final where nothing speaks for it.
        seen: What the blocks say; None where they do not agree beyond chance.
        back: How far the way back ends from where it began, in pixels of a visible picture 512 wide.
    """

    answer: Alignment
    seen: Evidence | None = None
    back: float = float("inf")


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
    plain = Alignment(resizing(a.size, b.size), warp or "translation", a.size, b.size, confidence=0.0)
    if min(*a.size, *b.size) < LEAST_SIDE or not (busy(a) and busy(b)):
        return replace(plain, status="too_little_structure")
    return bent(a, b, found(a, b, warp, plain))


def found(ir: Plane, vis: Plane, warp: str | None, plain: Alignment) -> Alignment:
    """One matrix and how sure it is: near plain resizing, mirrored, then of other fields of view."""
    near = search_near(ir, vis)
    one = settled(ir, vis, near, warp, plain)
    answer = judged(one, near)
    if answer.ok and (near.score > CLEAR or answer.confidence > SURE):
        return answer
    flipped, other = search_mirrored(ir, vis)
    answer = rivalled(judged(one, near, near.score / max(other.score, 0.1)), near, other)
    if answer.ok:
        return answer
    fits = other.score > max(RIVAL * near.score, LEAST_MIRRORED)
    if fits and judged(settled(flipped, vis, other, "affine", plain), other).status in LIKELY:
        return replace(plain, status="mirrored")
    wide = search_wide(ir, vis)
    far = rivalled(judged(settled(ir, vis, wide, warp, plain), wide), wide, other)
    best = max(answer, far, key=lambda one: one.confidence)
    if best.status == "foreign" and near.score > CLEAR:  # one scene, but not by the kind of transform asked for
        return replace(best, status="low_confidence")
    return best


def rivalled(answer: Alignment, guess: Guess, other: Guess) -> Alignment:
    """An answer that is not sure any more where the mirrored picture, which cannot fit as well, fits nearly as well."""
    if not answer.ok or guess.score >= RIVAL * other.score:
        return answer
    return replace(answer, status="low_confidence", confidence=min(answer.confidence, GATE * 0.9))


def bent(ir: Plane, vis: Plane, answer: Alignment) -> Alignment:
    """An answer with what a smooth field adds to it, if it is sure and of a kind that asks for one."""
    if not answer.ok or answer.warp not in ("affine", "elastic"):
        return answer
    if answer.warp == "elastic":
        return replace(answer, field=field(ir, vis, answer.matrix))
    bend = field(ir, vis, answer.matrix, SPARSE)
    return answer if bend is None else replace(answer, matrix=levelled(answer.matrix, bend, ir.size, vis.size))


def search_near(ir: Plane, vis: Plane) -> Guess:
    """The best transform near plain resizing, which is one of the starts."""
    search = Search(ir, vis, 160)
    found = starts(search, scales(1 / FARTHEST, FARTHEST, 1.08), (-8, -4, 0, 4, 8), 8, reach=0.2)
    return refined(ir, vis, [Start(resizing(ir.size, vis.size), 0.0, 1.0, 0.0), *found], 2)


def search_wide(ir: Plane, vis: Plane) -> Guess:
    """The best transform between pictures of unlike fields of view, either one the wider."""
    search = Search(ir, vis, 120)
    return refined(ir, vis, starts(search, scales(0.35, 0.79, 1.1) + scales(1.26, 2.2, 1.1), (-5, 0, 5), 10))


def starts(
    search: Search, ratios: list[float], angles: tuple[float, ...], count: int, reach: float = 1.0
) -> list[Start]:
    """The best places over scales and angles, no two of them nearly the same.

    Args:
        search: The two pictures.
        ratios: Widths of the infrared picture on the visible one, as shares of that.
        angles: In degrees.
        count: Of the places.
        reach: Share of the width by which corners may be off before a place counts half.
    """
    found = [start for ratio in ratios for start in search.at(ratio, angles)]
    apart, plain = 0.03 * search.vis.size[0], resizing(search.ir.size, search.vis.size)

    def likelihood(start: Start) -> float:
        far = corner_error(start.matrix, plain, search.ir.size) / (reach * search.vis.size[0])
        return start.score / (1 + far**2)

    kept: list[Start] = []
    for start in sorted(found, key=likelihood, reverse=True):
        if all(corner_error(start.matrix, other.matrix, search.ir.size) > apart for other in kept):
            kept.append(start)
        if len(kept) == count:
            break
    return kept


def refined(ir: Plane, vis: Plane, found: list[Start], further: int = 0) -> Guess:
    """The best of some starts: all climb at low resolution, the best few of them, and the first, at a higher one.

    Where none of these is clear, the best ``further`` of them go on.
    """
    guesses = [climbed(ir, vis, Guess(start.matrix, 0.0)) for start in found[:1]]
    if guesses and guesses[0].score > CLEAR:
        return guesses[0]
    coarse = [climbed(ir, vis, Guess(start.matrix, 0.0), COARSE) for start in found]
    for guess in sorted(coarse, key=lambda guess: guess.score, reverse=True)[:CLOSER]:
        guesses.append(climbed(ir, vis, guess))
        if guesses[-1].score > CLEAR:
            return guesses[-1]
    guesses.sort(key=lambda guess: guess.score, reverse=True)
    for place, guess in enumerate(guesses[:further]):
        for _ in range(ROUNDS):
            better = climbed(ir, vis, guess)
            if better.score < guess.score + RISE:
                break
            guesses[place] = guess = better
    return max(guesses, key=lambda guess: guess.score, default=Guess(resizing(ir.size, vis.size), 0.0))


def climbed(ir: Plane, vis: Plane, guess: Guess, rule: Rule = ROUGH) -> Guess:
    """A guess after one round at low resolution; of score 0 where that leads nowhere."""
    better = refine(ir, vis, guess.matrix, "similarity", rule)
    if better is None or not sane(better.matrix, ir.size):
        return Guess(guess.matrix, 0.0)
    return Guess(better.matrix, better.score)


def search_mirrored(ir: Plane, vis: Plane) -> tuple[Plane, Guess]:
    """The infrared picture with left and right exchanged, and the best transform of that near plain resizing."""
    flipped = Plane(np.ascontiguousarray(ir.grey[:, ::-1]), np.ascontiguousarray(ir.known[:, ::-1]))
    search = Search(flipped, vis, 128)
    return flipped, refined(flipped, vis, starts(search, scales(0.85, 1.18, 1.08), (-4, 0, 4), 3, reach=0.3))


def settled(ir: Plane, vis: Plane, guess: Guess, warp: str | None, plain: Alignment) -> Settled:
    """The transform at full resolution, its kind, and what speaks for it."""
    if guess.score < PLAUSIBLE:
        return Settled(replace(plain, status="foreign"))
    model = "affine" if warp in (None, "elastic") else str(warp)
    found = None
    before = matrix = nearest(guess.matrix, model, ir.size, vis.size)
    for _ in range(FINE_ROUNDS):
        found = refine(ir, vis, matrix, model, FINE)
        if found is None or not sane(found.matrix, ir.size):
            return Settled(replace(plain, status="degenerate", matrix=matrix))
        before, matrix = matrix, found.matrix
        if corner_error(found.step, np.eye(3), found.size) < SMALL:
            break
    assert found is not None
    if warp is None:
        model, matrix = simplest(found, before, ir.size, vis.size)
    return supported(replace(plain, matrix=matrix, warp=warp or model), ir, vis, found)


def supported(answer: Alignment, ir: Plane, vis: Plane, found: Refined) -> Settled:
    """An answer with what speaks for it."""
    seen = evidence(found.surfaces, found.step, found.size)
    if strength(seen.support) < CHANCE:
        return Settled(replace(answer, status="foreign"))
    residual = min(seen.residual * zoom(found.grid, found.size), 999.0)
    return Settled(replace(answer, residual_px=residual), seen, way_back(answer.matrix, ir, vis))


def judged(one: Settled, guess: Guess, lead: float = 1.0) -> Alignment:
    """The answer with its confidence and status.

    Args:
        one: The transform and what speaks for it.
        guess: That led to it.
        lead: The score of the guess against that of the mirrored picture; 1 where that is not known.
    """
    if one.seen is None:
        return one.answer
    beyond = abs(np.log(one.answer.scale)) > np.log(FARTHEST) and guess.score <= CLEAR
    less = float(np.clip(np.sqrt(lead / LEAD), 1, MOST_LESS))
    sure = confidence(one.seen, one.back, STRONG * (MORE if beyond else 1) / less)
    placed = "ok" if one.seen.spread > LEAST_SPREAD else "degenerate"
    return replace(one.answer, status=placed if sure >= GATE else "low_confidence", confidence=sure)


def way_back(matrix: Matrix, ir: Plane, vis: Plane) -> float:
    """How far the transform from visible to infrared, from a disturbed start, misses the inverse.

    Returns:
        The distance at the corners of the overlap, in pixels of a visible picture 512 wide; infinity where it is lost.
    """
    unit = vis.size[0] / 512
    disturbed: Matrix = shifting(6 * unit, -5 * unit) @ turning(1.5, 1.015, middle(vis.size)) @ matrix
    back = inverse(disturbed)
    for _ in range(3):
        better = refine(vis, ir, back, "affine", ROUGH)
        if better is None or not sane(better.matrix, vis.size):
            return float("inf")
        back = better.matrix
        if corner_error(better.step, np.eye(3), better.size) < SMALL:
            break
    return apart(inverse(back), matrix, ir.size, vis.size) / unit


def apart(a: Matrix, b: Matrix, ir: Size, vis: Size) -> float:
    """Mean distance of two transforms at the corners of what the pictures share under the second, in pixels."""
    box = overlap(b, ir, vis)
    if box is None:
        return float("inf")
    left, top, right, bottom = box
    there = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return float(np.linalg.norm(moved(a @ inverse(b), there) - there, axis=1).mean())
