"""Boards: known mean scores of published methods, to be ranked together with measured ones."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmmdl.errors import UserError

Board = dict[str, dict[str, float]]

FORMAT = "cmmdl-evaluation"
"""What the JSON files of ``cmmdl evaluate --json`` call themselves."""


def load_board(path: str | Path, convention: str) -> Board:
    """Reads a board: a JSON object method → metric → mean score, or a file that ``cmmdl evaluate --json`` wrote.

    A plain board does not say its convention; that it matches is the caller's word. It may carry SSIM twice, ``SSIM``
    with constants for the fused picture's max − min and ``SSIM2`` with constants for 2: the ``cddfuse`` convention
    takes the latter.

    Args:
        path: The file.
        convention: The convention of the table the board joins.

    Returns:
        Method → metric → mean score.

    Raises:
        UserError: If the file is no board, or a written evaluation of another convention.
    """
    data = _read_json(Path(path))
    if data.get("format") == FORMAT:
        return _from_evaluation(path, data, convention)
    board = {name: _numbers(path, name, row) for name, row in data.items()}
    if convention == "cddfuse":
        board = {name: row | ({"SSIM": row["SSIM2"]} if "SSIM2" in row else {}) for name, row in board.items()}
    return board


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give a board's JSON file") from error
    except ValueError as error:
        raise UserError(f"{path} is not a JSON file ({error}); give a board: method → metric → mean score") from error
    if not isinstance(data, dict) or not data:
        raise UserError(f"{path} is not a board; it must be a JSON object: method → metric → mean score")
    return data


def _from_evaluation(path: str | Path, data: Mapping[str, Any], convention: str) -> Board:
    if data.get("convention") != convention:
        raise UserError(
            f"{path} was scored by the convention {data.get('convention')!r}, this table by {convention!r}; "
            "scores of two conventions cannot be ranked together"
        )
    try:
        means = {
            name: {metric: cell["mean"] for metric, cell in method["summary"].items() if cell["mean"] is not None}
            for name, method in data["methods"].items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged; write it again with cmmdl evaluate --json") from error
    return {name: _numbers(path, name, row) for name, row in means.items()}


def _numbers(path: str | Path, name: str, row: object) -> dict[str, float]:
    if not isinstance(row, dict) or not row:
        raise UserError(f"{path}: {name!r} is not a row of scores; it must be an object: metric → mean score")
    for metric, value in row.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UserError(f"{path}: {name!r}, {metric!r} is {value!r}, not a finite number; correct or remove it")
    return {metric: float(value) for metric, value in row.items()}
