"""An evaluation as CSV and as strict JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import cmmdl
from cmmdl.evaluate.boards import FORMAT, Board
from cmmdl.evaluate.ranking import build_table
from cmmdl.evaluate.result import Evaluation


def to_csv(evaluation: Evaluation, board: Board | None = None) -> str:
    """Scores in full precision, one row a picture and method, then the statistics of each method.

    Columns are ``method,kind,picture`` and the metrics. ``kind`` is ``picture`` for a score and ``mean``, ``std``,
    ``ci95_low`` or ``ci95_high`` for a statistic, whose ``picture`` is empty; ``board`` for a board's mean. What is
    undefined or absent is empty, an infinite score is ``inf``.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "kind", "picture", *evaluation.metrics])
    for m, method in enumerate(evaluation.methods):
        for p, picture in enumerate(evaluation.pictures):
            writer.writerow([method, "picture", picture, *map(_csv_number, evaluation.scores[m, p])])
    for method in evaluation.methods:
        found = [evaluation.summary(method, metric) for metric in evaluation.metrics]
        for kind, attribute in (("mean", "mean"), ("std", "std"), ("ci95_low", "low"), ("ci95_high", "high")):
            writer.writerow([method, kind, "", *(_csv_number(getattr(summary, attribute)) for summary in found)])
    for name, row in (board or {}).items():
        writer.writerow([name, "board", "", *(_csv_number(row.get(metric, math.nan)) for metric in evaluation.metrics)])
    return text.getvalue()


def to_json(evaluation: Evaluation, board: Board | None = None) -> str:
    """Everything in one JSON object; keys as in the attributes of the Python types.

    Strict JSON has no NaN and no infinity: both are ``null``, and ``infinite`` lists the infinite scores as
    ``[method, picture, metric, "inf" or "-inf"]``.
    """
    table = build_table(evaluation, board)
    data = {
        "format": FORMAT,
        "version": 1,
        "cmmdl": cmmdl.__version__,
        "convention": evaluation.convention,
        "stretch": evaluation.stretch,
        "metrics": {
            metric: {"direction": "higher" if up else "lower"}
            for metric, up in zip(evaluation.metrics, evaluation.higher, strict=True)
        },
        "pictures": list(evaluation.pictures),
        "methods": {method: _method(evaluation, method) for method in evaluation.methods},
        "board": board or {},
        "mean_rank": dict(zip(table.names, table.mean_rank.tolist(), strict=True)),
        "mean_rank_over": list(table.ranked),
        "significance": {metric: _significance(evaluation, metric) for metric in evaluation.metrics},
        "excluded": [vars(exclusion) for exclusion in evaluation.excluded],
        "infinite": _infinite(evaluation),
    }
    return json.dumps(_finite(data), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _method(evaluation: Evaluation, method: str) -> dict[str, Any]:
    scores = evaluation.scores[evaluation.methods.index(method)].tolist()
    found = {metric: evaluation.summary(method, metric) for metric in evaluation.metrics}
    return {
        "summary": {metric: {"mean": s.mean, "std": s.std, "ci95": [s.low, s.high]} for metric, s in found.items()},
        "scores": {
            picture: dict(zip(evaluation.metrics, row, strict=True))
            for picture, row in zip(evaluation.pictures, scores, strict=True)
        },
    }


def _significance(evaluation: Evaluation, metric: str) -> dict[str, Any]:
    test = evaluation.significance(metric)
    return {
        "best": evaluation.methods[test.best],
        "p": dict(zip(evaluation.methods, test.p.tolist(), strict=True)),
        "p_holm": dict(zip(evaluation.methods, test.p_holm.tolist(), strict=True)),
    }


def _infinite(evaluation: Evaluation) -> list[list[str]]:
    return [
        [method, picture, metric, "inf" if score > 0 else "-inf"]
        for method, by_picture in zip(evaluation.methods, evaluation.scores.tolist(), strict=True)
        for picture, row in zip(evaluation.pictures, by_picture, strict=True)
        for metric, score in zip(evaluation.metrics, row, strict=True)
        if math.isinf(score)
    ]


def _csv_number(value: float) -> str:
    return "" if math.isnan(value) else repr(float(value))


def _finite(value: Any) -> Any:
    """The same structure with null for every float that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
