"""The scores of an evaluation, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cmmdl.evaluate.scenes import Exclusion
from cmmdl.evaluate.statistics import Comparison, Floats, Summary, compare_with_best, summarise


@dataclass(frozen=True)
class Evaluation:
    """Scores of several methods on the same scenes.

    Attributes:
        convention: The convention that all scores follow.
        stretch: Whether fused pictures were stretched to 0..255 before scoring.
        metrics: Columns.
        higher: For each metric whether higher is better.
        methods: Names, as given, then the baselines.
        pictures: Stems of the scenes that count, sorted.
        scores: ``(methods, pictures, metrics)`` float64.
        excluded: What is wrong with the scenes that do not count for any method.
    """

    convention: str
    stretch: bool
    metrics: tuple[str, ...]
    higher: tuple[bool, ...]
    methods: tuple[str, ...]
    pictures: tuple[str, ...]
    scores: Floats
    excluded: tuple[Exclusion, ...]

    def column(self, method: str, metric: str) -> Floats:
        """One method's scores on one metric, ``(pictures,)``."""
        result: Floats = self.scores[self.methods.index(method), :, self.metrics.index(metric)]
        return result

    def means(self) -> Floats:
        """Mean scores, ``(methods, metrics)``; NaN or infinite where a picture's score is."""
        with np.errstate(invalid="ignore"):  # of inf − inf
            result: Floats = self.scores.mean(axis=1)
        return result

    def summary(self, method: str, metric: str) -> Summary:
        """Mean, standard deviation and 95 % confidence interval."""
        return summarise(self.column(method, metric))

    def significance(self, metric: str) -> Comparison:
        """Every method against the best on this metric; indices follow :attr:`methods`."""
        k = self.metrics.index(metric)
        return compare_with_best(self.scores[:, :, k], self.higher[k])


def collect(
    scores: Mapping[str, Mapping[str, Mapping[str, float]]], methods: Sequence[str], metrics: Sequence[str]
) -> Floats:
    """Scene → method → metric → score as an array ``(methods, pictures, metrics)``, scenes in the mapping's order."""
    return np.array(
        [[[by_method[method][metric] for metric in metrics] for by_method in scores.values()] for method in methods],
        dtype=np.float64,
    )
