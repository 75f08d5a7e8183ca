"""The table of a paper: methods by metrics, best and second best marked, mean rank; as Markdown or plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cmmdl.evaluate.boards import Board
from cmmdl.evaluate.result import Evaluation
from cmmdl.evaluate.statistics import Floats, mean_ranks, ranks

Mark = Literal["", "best", "second"]
Cell = tuple[str, Mark]
Grid = tuple[list[str], list[list[Cell]]]
_BLANK = "–"


@dataclass(frozen=True)
class Table:
    """Mean scores of measured methods and of a board, ranked together.

    Attributes:
        names: Rows: the measured methods, then the board's.
        metrics: Columns.
        higher: For each column whether higher is better.
        values: ``(rows, columns)`` means, NaN where a board lacks a metric.
        ranks: ``(rows, columns)``, 1 is best; a NaN is last.
        ranked: The columns that every row has; the mean rank is taken over these.
        mean_rank: ``(rows,)``, NaN if there is no such column.
    """

    names: tuple[str, ...]
    metrics: tuple[str, ...]
    higher: tuple[bool, ...]
    values: Floats
    ranks: NDArray[np.int64]
    ranked: tuple[str, ...]
    mean_rank: Floats

    def mark(self, row: int, column: int) -> Mark:
        """Whether a cell is the best of its column or, of at least three rows, the second best; ties share it."""
        present = ~np.isnan(self.values[:, column])
        found = sorted(set(self.ranks[present, column].tolist()))
        if not present[row] or present.sum() < 2 or len(found) < 2:
            return ""
        rank = int(self.ranks[row, column])
        return "best" if rank == 1 else "second" if rank == found[1] and present.sum() > 2 else ""


def build_table(evaluation: Evaluation, board: Board | None = None) -> Table:
    """Means and ranks of an evaluation's methods, together with a board's rows.

    Args:
        evaluation: Measured scores.
        board: Method → metric → mean score, see :func:`cmmdl.evaluate.load_board`. A row that has a measured
            method's name is taken as another method and called ``NAME (board)``.
    """
    board = board or {}
    metrics, higher = evaluation.metrics, evaluation.higher
    known = [[row.get(metric, np.nan) for metric in metrics] for row in board.values()]
    values = np.vstack([evaluation.means(), np.array(known, dtype=np.float64).reshape(-1, len(metrics))])
    common = [all(metric in row for row in board.values()) for metric in metrics]
    mean_rank = mean_ranks(values[:, common], np.array(higher)[common]) if any(common) else np.full(len(values), np.nan)
    return Table(
        names=(*evaluation.methods, *(f"{name} (board)" if name in evaluation.methods else name for name in board)),
        metrics=metrics,
        higher=higher,
        values=values,
        ranks=ranks(values, higher),
        ranked=tuple(metric for metric, shared in zip(metrics, common, strict=True) if shared),
        mean_rank=mean_rank,
    )


def markdown(evaluation: Evaluation, board: Board | None = None) -> str:
    """The whole report in Markdown: table, spread, significance, excluded pictures, and how it was scored."""
    table = build_table(evaluation, board)
    parts = [
        _as_markdown(_score_grid(table)),
        " ".join(_caption(evaluation, table, "**Best**, <u>second best</u>.")),
        "Mean ± standard deviation [95 % confidence interval of the mean]:",
        _as_markdown(_spread_grid(evaluation)),
    ]
    if len(evaluation.methods) > 1:
        parts += [_SIGNIFICANCE, _as_markdown(_significance_grid(evaluation))]
    if evaluation.excluded:
        parts.append(_excluded(evaluation))
    return "\n\n".join(parts) + "\n"


def plain(evaluation: Evaluation, board: Board | None = None, *, colour: bool = False) -> str:
    """The table for a terminal: best marked ``*`` and second best ``+``, with ``colour`` also bold and underlined."""
    table = build_table(evaluation, board)
    if len(table.names) == 1:
        return "\n\n".join([_as_plain(_single_grid(evaluation), colour), "\n".join(_caption(evaluation, table, ""))])
    parts = [_as_plain(_score_grid(table), colour), "\n".join(_caption(evaluation, table, "* best, + second best."))]
    if len(evaluation.methods) > 1:
        parts += [_SIGNIFICANCE, _as_plain(_significance_grid(evaluation), colour)]
    return "\n\n".join(parts)


_SIGNIFICANCE = (
    "p-values of the difference to the best measured method (paired Wilcoxon signed-rank test, two-sided, "
    "Holm-corrected for the number of methods):"
)


def _score_grid(table: Table) -> Grid:
    header = ["method", *_arrows(table.metrics, table.higher)]
    digits = [_digits(column) for column in table.values.T]
    rows = [
        [(name, ""), *((_number(value, digits[k]), table.mark(row, k)) for k, value in enumerate(table.values[row]))]
        for row, name in enumerate(table.names)
    ]
    if len(table.names) > 1 and table.ranked:
        header.append("mean rank ↓")
        order = ranks(table.mean_rank[:, None], [False])[:, 0]
        for row, rank, place in zip(rows, table.mean_rank, order, strict=True):
            row.append((f"{rank:.2f}", "best" if place == 1 else ""))
    return header, rows


def _single_grid(evaluation: Evaluation) -> Grid:
    """One method: metrics down, statistics across."""
    rows: list[list[Cell]] = []
    for metric, title in zip(evaluation.metrics, _arrows(evaluation.metrics, evaluation.higher), strict=True):
        found = evaluation.summary(evaluation.methods[0], metric)
        digits = _digits(np.array([found.mean]))
        rows.append([(title, ""), *((_number(x, digits), "") for x in (found.mean, found.std, found.low, found.high))])
    return [evaluation.methods[0], "mean", "std", "95 % low", "95 % high"], rows


def _spread_grid(evaluation: Evaluation) -> Grid:
    digits = [_digits(column) for column in evaluation.means().T]
    rows: list[list[Cell]] = []
    for method in evaluation.methods:
        row: list[Cell] = [(method, "")]
        for metric, n in zip(evaluation.metrics, digits, strict=True):
            found = evaluation.summary(method, metric)
            mean, std, low, high = (_number(x, n) for x in (found.mean, found.std, found.low, found.high))
            row.append((f"{mean} ± {std} [{low}, {high}]", ""))
        rows.append(row)
    return ["method", *_arrows(evaluation.metrics, evaluation.higher)], rows


def _significance_grid(evaluation: Evaluation) -> Grid:
    tests = [evaluation.significance(metric) for metric in evaluation.metrics]
    rows: list[list[Cell]] = [
        [(name, ""), *((("best", "") if test.best == k else (_probability(test.p_holm[k]), "")) for test in tests)]
        for k, name in enumerate(evaluation.methods)
    ]
    return ["method", *evaluation.metrics], rows


def _caption(evaluation: Evaluation, table: Table, legend: str) -> list[str]:
    count = len(evaluation.pictures)
    pictures = "1 picture" if count == 1 else f"{count} pictures"
    stretched = "fused pictures stretched to 0..255 before scoring" if evaluation.stretch else "no stretch"
    lines = [f"Convention: {evaluation.convention}, {pictures}, {stretched}.", f"↑ higher, ↓ lower is better. {legend}"]
    if len(table.names) > 1 and table.ranked:
        lines.append(f"Mean rank: 1 + number of rows strictly better, averaged over {', '.join(table.ranked)}.")
    if len(table.names) > len(evaluation.methods):
        lines.append("Rows below the measured ones are known means from a board, not tested for significance.")
    return [line.strip() for line in lines]


def _excluded(evaluation: Evaluation) -> str:
    lines = [f"- {_escape(str(exclusion))}" for exclusion in evaluation.excluded]
    return "\n".join(["Excluded for all methods:", "", *lines])


def _arrows(metrics: Sequence[str], higher: Sequence[bool]) -> list[str]:
    return [f"{metric} {'↑' if up else '↓'}" for metric, up in zip(metrics, higher, strict=True)]


def _digits(column: Floats) -> int:
    """Decimals that show four significant digits of a column's largest value, from one to six."""
    finite = np.abs(column[np.isfinite(column)])
    largest = finite.max() if finite.size else 0.0
    return int(np.clip(3 - np.floor(np.log10(largest)), 1, 6)) if largest > 0 else 4


def _number(value: float, digits: int) -> str:
    return _BLANK if np.isnan(value) else f"{value:.{digits}f}"


def _probability(p: float) -> str:
    return _BLANK if np.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


def _as_markdown(grid: Grid) -> str:
    header, rows = grid
    wrap = {"": "{}", "best": "**{}**", "second": "<u>{}</u>"}
    lines = [[_escape(title) for title in header], ["---", *["---:"] * (len(header) - 1)]]
    lines += [[wrap[mark].format(_escape(text)) for text, mark in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _as_plain(grid: Grid, colour: bool) -> str:
    header, rows = grid
    cells: list[list[Cell]] = [[(title, "") for title in header], *rows]
    widths = [max(len(row[k][0]) for row in cells) for k in range(len(header))]
    lines = ["  ".join(_padded(*cell, widths[k], k, colour) for k, cell in enumerate(row)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)


def _padded(text: str, mark: Mark, width: int, column: int, colour: bool) -> str:
    """A cell of ``width`` and one place for its sign; the first column to the left, numbers to the right."""
    sign = {"": " ", "best": "*", "second": "+"}[mark] if column else ""
    space = " " * (width - len(text))
    shown = {"best": f"\033[1m{text}\033[0m", "second": f"\033[4m{text}\033[0m"}.get(mark, text) if colour else text
    return shown + space if column == 0 else space + shown + sign
