"""The table of a run's curve: means since the row above, scores at the step, several runs below each other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "benchmarks" / "curve.py"


def curve(*logs: Path) -> list[list[str]]:
    output = subprocess.run([sys.executable, str(PROGRAM), *map(str, logs)], capture_output=True, text=True, check=True)
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in output.stdout.splitlines()]


def write_log(path: Path, last: int, slope: float) -> Path:
    lines = [{"step": step, "kind": "train", "loss": slope * step, "ssim": 1.0} for step in range(10, last + 1, 10)]
    scores = dict.fromkeys(("EN", "SF", "MI", "SCD", "VIF", "Qabf", "SSIM", "total"), 0.5)
    lines += [{"step": last, "kind": "val", **scores}, {**lines[0], "loss": 2 * lines[0]["loss"]}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_rows_are_means_since_the_row_above(tmp_path: Path) -> None:
    rows = curve(write_log(tmp_path / "log.jsonl", 2250, 1.0))
    assert [row[0] for row in rows[2:]] == ["100", "200", "400", "600", "1000", "1500", "2000", "2250"]
    losses = [row[1] for row in rows[2:]]
    assert losses == ["56.0", "155.0", "305.0", "505.0", "805.0", "1255.0", "1755.0", "2130.0"], "the last of step 10"
    assert [row[-1] for row in rows[2:]] == [*[""] * 7, "0.50"]


def test_scores_of_the_mean_at_the_end_are_left_out(tmp_path: Path) -> None:
    """They are of other weights than the running average's above them."""
    log = write_log(tmp_path / "log.jsonl", 250, 1.0)
    rows = curve(log)
    mean = {"step": 250, "kind": "mean", "EN": 0.9, "total": 0.9}
    log.write_text(log.read_text(encoding="utf-8") + json.dumps(mean) + "\n")
    assert curve(log) == rows


def test_a_run_is_compared_as_far_as_it_is(tmp_path: Path) -> None:
    logs = write_log(tmp_path / "long.jsonl", 1700, 1.0), write_log(tmp_path / "short.jsonl", 450, 2.0)
    rows = curve(*logs)[2:]
    assert [row[0] for row in rows] == ["100", "100", "200", "200", "400", "400", "600", "1000", "1500", "1700"]
    assert [row[1].rsplit("/")[-1] for row in rows[:3]] == ["long.jsonl", "short.jsonl", "long.jsonl"]
    assert (rows[3][2], rows[5][2]) == ("310.0", "610.0")


def test_the_published_curve_is_of_the_whole_recipe() -> None:
    rows = curve(ROOT / "docs" / "cmmdl-ivf.jsonl")
    assert [rows[-1][0], rows[-2][0]] == ["8920", "8500"]
    card = (ROOT / "docs" / "cmmdl-ivf.md").read_text(encoding="utf-8")
    assert all(f"| {' | '.join(row)} |" in card for row in (rows[2], rows[-1]))
