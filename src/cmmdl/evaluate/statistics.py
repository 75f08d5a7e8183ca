"""Means with their uncertainty, ranks, and paired significance: pure functions of arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Summary:
    """One method's scores on one metric over all pictures.

    Attributes:
        mean: Arithmetic mean.
        std: Sample standard deviation (divisor n − 1); NaN for one picture.
        low: Lower end of the 95 % confidence interval of the mean (Student's t); NaN for one picture.
        high: Upper end of that interval.
        count: Number of pictures.
    """

    mean: float
    std: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Comparison:
    """All methods against the best one on one metric.

    Attributes:
        best: Index of the method with the best mean.
        p: Two-sided p-value of each method against the best (Wilcoxon signed-rank on the pictures both have); 1 for
            the best itself and for equal scores, NaN where a difference is not finite.
        p_holm: The same, corrected for the number of methods compared (Holm).
    """

    best: int
    p: Floats
    p_holm: Floats


def summarise(scores: ArrayLike, confidence: float = 0.95) -> Summary:
    """Mean, spread and confidence interval of one column of scores.

    Args:
        scores: ``(pictures,)``, at least one. A NaN or infinite score makes the mean the same, never a smaller sample.
        confidence: Coverage of the interval.
    """
    values = np.asarray(scores, dtype=np.float64)
    mean, count = float(values.mean()), len(values)
    if count < 2 or not np.isfinite(values).all():
        return Summary(mean, np.nan, np.nan, np.nan, count)
    std = float(values.std(ddof=1))
    half = float(stats.t.ppf((1 + confidence) / 2, count - 1)) * std / math.sqrt(count)
    return Summary(mean, std, mean - half, mean + half, count)


def ranks(values: ArrayLike, higher: ArrayLike) -> NDArray[np.int64]:
    """The rank of each method on each metric: 1 + the number of methods strictly better.

    Args:
        values: ``(methods, metrics)``; a NaN is worse than any number.
        higher: ``(metrics,)``, whether higher is better.

    Returns:
        ``(methods, metrics)``, 1 is best; equal values share the better rank.
    """
    signed = np.where(higher, 1.0, -1.0) * np.asarray(values, dtype=np.float64)
    signed = np.where(np.isnan(signed), -np.inf, signed)
    better: NDArray[np.int64] = (signed[None, :, :] > signed[:, None, :]).sum(axis=1)
    return 1 + better


def mean_ranks(values: ArrayLike, higher: ArrayLike) -> Floats:
    """The mean of each method's :func:`ranks` over the metrics: ``(methods,)``, 1 is best."""
    result: Floats = ranks(values, higher).mean(axis=1)
    return result


def wilcoxon_p(a: ArrayLike, b: ArrayLike) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test on paired scores.

    Args:
        a: ``(pictures,)``.
        b: Same pictures, same order.

    Returns:
        From 0 to 1; 1 where all pairs are equal, NaN where a difference is not finite.

    Reference: Wilcoxon. Individual comparisons by ranking methods. Biometrics Bulletin 1, 1945. Zero differences are
        dropped; exact for up to 50 pictures without ties.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    equal = x == y  # also two infinities, whose difference is NaN
    if equal.all():
        return 1.0
    if not (np.isfinite(x[~equal]).all() and np.isfinite(y[~equal]).all()):
        return float("nan")
    return float(stats.wilcoxon(x[~equal] - y[~equal]).pvalue)


def holm(p: ArrayLike) -> Floats:
    """P-values corrected for testing several at once; NaN stays NaN and is not counted.

    Reference: Holm. A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6,
        1979.
    """
    values = np.array(p, dtype=np.float64)
    order = np.argsort(values)[: int(np.isfinite(values).sum())]
    steps = values[order] * np.arange(len(order), 0, -1)
    values[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return values


def compare_with_best(scores: ArrayLike, higher: bool) -> Comparison:
    """Tests every method against the one with the best mean on a metric.

    Args:
        scores: ``(methods, pictures)``.
        higher: Whether higher is better.
    """
    table = np.asarray(scores, dtype=np.float64)
    best = int(np.argmin(ranks(table.mean(axis=1)[:, None], [higher])[:, 0]))
    others = [k for k in range(len(table)) if k != best]
    p, p_holm = np.ones(len(table)), np.ones(len(table))
    p[others] = [wilcoxon_p(table[k], table[best]) for k in others]
    p_holm[others] = holm(p[others])
    return Comparison(best, p, p_holm)
