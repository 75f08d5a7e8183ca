"""Plots of an evaluation: a strip of scores for every metric, or one radar. Needs the extra ``cmmdl[plot]``."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cmmdl.errors import UsageError, UserError
from cmmdl.evaluate.boards import Board
from cmmdl.evaluate.ranking import Table, build_table
from cmmdl.evaluate.result import Evaluation
from cmmdl.evaluate.statistics import Floats
from cmmdl.files.atomic import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PlotKind = Literal["strips", "radar"]
_SUFFIXES = (".png", ".pdf", ".svg")


def draw(path: str | Path, evaluation: Evaluation, board: Board | None = None, kind: PlotKind = "strips") -> None:
    """Writes a plot.

    Args:
        path: ``.png``, ``.pdf`` or ``.svg``.
        evaluation: Measured scores.
        board: Known means to be shown beside them.
        kind: ``"strips"``: a panel a metric, each picture a dot, mean and 95 % confidence interval in black, a
            board's mean a diamond. ``"radar"``: an axis a metric, from the worst row's mean on the inner ring to the
            best row's on the outer, whatever the direction; it shows order, not significance.

    Raises:
        UserError: If matplotlib is missing, the suffix is another, or a radar has fewer than three metrics.
    """
    path = Path(path)
    check_plot(path)
    table = build_table(evaluation, board)
    figure = _strips(evaluation, table) if kind == "strips" else _radar(table)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:].lower(), dpi=150, bbox_inches="tight")
    write_bytes(path, buffer.getvalue())


def check_plot(path: Path) -> None:
    """Raises what can be known to go wrong before an evaluation is run."""
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"{path}: a plot is written as {', '.join(_SUFFIXES)}; change the suffix")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UserError('plots need matplotlib; install it with: pip install "cmmdl[plot]"') from error


def _strips(evaluation: Evaluation, table: Table) -> Figure:
    from matplotlib.figure import Figure

    count = len(table.metrics)
    columns = min(count, 4)
    rows = math.ceil(count / columns)
    width = max(2.6, 0.35 * len(table.names) + 1)
    figure = Figure(figsize=(width * columns, 2.8 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for k, axis in enumerate(axes):
        if k < count:
            _strip(axis, evaluation, table, k)
        else:
            axis.axis("off")
    return figure


def _strip(axis: Any, evaluation: Evaluation, table: Table, column: int) -> None:
    """One metric: dots with a fixed jitter, so that the same scores give the same picture."""
    metric, colours = table.metrics[column], _colours(len(table.names))
    jitter = np.random.default_rng(0).uniform(-0.25, 0.25, len(evaluation.pictures))
    for x, name in enumerate(table.names):
        if x >= len(evaluation.methods):
            axis.plot(x, table.values[x, column], "D", color=colours[x], markersize=5)
            continue
        found = evaluation.summary(name, metric)
        axis.scatter(x + jitter, evaluation.column(name, metric), s=8, color=colours[x], alpha=0.5, linewidths=0)
        half = [[found.mean - found.low], [found.high - found.mean]] if np.isfinite(found.std) else None
        axis.errorbar(x, found.mean, yerr=half, fmt="_", color="black", capsize=3)
    axis.set_xticks(range(len(table.names)), table.names, rotation=60, ha="right", fontsize=8)
    axis.set_xlim(-0.6, len(table.names) - 0.4)
    axis.set_title(f"{metric} {'↑' if table.higher[column] else '↓'}")
    axis.grid(axis="y", alpha=0.3)


def _radar(table: Table) -> Figure:
    from matplotlib.figure import Figure

    shown = [table.metrics.index(metric) for metric in table.ranked]
    if len(shown) < 3:
        raise UserError("a radar needs three metrics that every row has; use --plot-kind strips")
    heights = _heights(table.values[:, shown], np.array(table.higher)[shown])
    angles = np.linspace(0, 2 * np.pi, len(shown), endpoint=False)
    figure = Figure(figsize=(7, 6), layout="constrained")
    axis: Any = figure.add_subplot(projection="polar")
    for name, row, colour in zip(table.names, heights, _colours(len(table.names)), strict=True):
        axis.plot(np.append(angles, angles[0]), np.append(row, row[0]), color=colour, label=name)
    axis.set_xticks(angles, [table.metrics[k] for k in shown])
    axis.set_ylim(-0.25, 1.05)  # the worst rows keep a ring of their own, else their lines meet in one point
    axis.set_yticks([0, 0.5, 1], ["worst", "", "best"], fontsize=7)
    axis.legend(loc="center left", bbox_to_anchor=(1.1, 0.5), fontsize=8)
    return figure


def _heights(values: Floats, higher: np.ndarray) -> Floats:
    """``(rows, metrics)`` means → 0 for the worst row of a column, 1 for the best; 1 for all where they are equal."""
    signed = np.where(higher, 1.0, -1.0) * np.where(np.isfinite(values), values, np.nan)
    low, high = np.nanmin(signed, axis=0), np.nanmax(signed, axis=0)
    spread = np.where(high > low, high - low, 1.0)
    result: Floats = np.where(high > low, (signed - low) / spread, 1.0)
    return result


def _colours(count: int) -> list[Any]:
    from matplotlib import colormaps

    if count <= 10:
        return [colormaps["tab10"](k) for k in range(count)]
    return [colormaps["turbo"](x) for x in np.linspace(0.05, 0.95, count)]
