"""Folders of fused pictures → scores, means, ranks, tables and plots.

>>> from cmmdl.evaluate import evaluate_folder, markdown
>>> result = evaluate_folder({"ours": "results/ours"}, "ir", "vis", baselines=["max"])  # doctest: +SKIP
>>> print(markdown(result))  # doctest: +SKIP
"""

from __future__ import annotations

from cmmdl.evaluate.boards import Board, load_board
from cmmdl.evaluate.folders import evaluate_files, evaluate_folder
from cmmdl.evaluate.plots import draw
from cmmdl.evaluate.ranking import Table, build_table, markdown, plain
from cmmdl.evaluate.result import Evaluation
from cmmdl.evaluate.scenes import Exclusion
from cmmdl.evaluate.statistics import (
    Comparison,
    Summary,
    compare_with_best,
    holm,
    mean_ranks,
    ranks,
    summarise,
    wilcoxon_p,
)
from cmmdl.evaluate.writing import to_csv, to_json

__all__ = [
    "Board",
    "Comparison",
    "Evaluation",
    "Exclusion",
    "Summary",
    "Table",
    "build_table",
    "compare_with_best",
    "draw",
    "evaluate_files",
    "evaluate_folder",
    "holm",
    "load_board",
    "markdown",
    "mean_ranks",
    "plain",
    "ranks",
    "summarise",
    "to_csv",
    "to_json",
    "wilcoxon_p",
]
