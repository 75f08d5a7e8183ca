"""The curve of a training run, so that another run can be compared with it early.

    python benchmarks/curve.py docs/cmmdl-ivf.jsonl                              # that of the recipe
    python benchmarks/curve.py docs/cmmdl-ivf.jsonl runs/cmmdl-ivf/log.jsonl     # beside your own, as far as it is

Takes the ``log.jsonl`` that ``cmmdl train`` writes into a run's folder. Loss, terms and correlations are means over the
steps since the row above, since those of a single step vary by a third; scores are those of ``val`` at the step.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

EARLY = [100, 200, 400, 600, 1000]
"""Rows of the first steps; from there on one every `EVERY`."""

EVERY = 500

MEANS = {"loss": ".1f", "ssim": ".2f", "qabf": ".2f", "mi": ".2f", "corr_ir": ".2f", "corr_vis": ".2f"}
SCORES = {
    "EN": ".2f", "SF": ".1f", "MI": ".2f", "SCD": ".2f", "VIF": ".3f", "Qabf": ".3f", "SSIM": ".3f", "total": ".2f",
}  # fmt: skip
"""What is shown, and how."""

Line = dict[str, float]


def read(log: Path) -> tuple[dict[int, Line], dict[int, Line]]:
    """Logged numbers and scores of the running average by step; of a step taken twice, after a resume, the last."""
    found: dict[str, dict[int, Line]] = defaultdict(dict)
    for text in log.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        found[line["kind"]][int(line["step"])] = line
    return found["train"], found["val"]


def steps_of(last: int) -> list[int]:
    """The rows' steps."""
    return [step for step in EARLY if step < last] + [*range(EARLY[-1] + EVERY, last, EVERY), last]


def cells(train: dict[int, Line], val: dict[int, Line], after: int, step: int) -> list[str]:
    """A row of one run; empty where it has nothing."""
    lines = [line for at, line in train.items() if after < at <= step] if step <= max(train) else []
    scores = val.get(step, {})
    return [mean_of(lines, name, form) for name, form in MEANS.items()] + [
        f"{scores[name]:{form}}" if name in scores else "" for name, form in SCORES.items()
    ]


def mean_of(lines: Iterable[Line], name: str, form: str) -> str:
    """A term's mean over the steps that have it."""
    values = [line[name] for line in lines if name in line]
    return f"{fmean(values):{form}}" if values else ""


def table(logs: list[Path]) -> str:
    """All runs as one Markdown table, those of a step below each other."""
    runs = {log: read(log) for log in logs}
    steps, names = steps_of(max(max(train) for train, _ in runs.values())), [*MEANS, *SCORES]
    head = ["step", *(["run"] if len(logs) > 1 else []), *names]
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for after, step in zip([0, *steps], steps, strict=False):
        for log, (train, val) in runs.items():
            own = cells(train, val, after, step)
            if any(own):
                label = [str(log)] if len(logs) > 1 else []
                rows.append(f"| {' | '.join([str(step), *label, *own])} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, nargs="+", help="log.jsonl of a run; several are compared")
    print(table(parser.parse_args().log))


if __name__ == "__main__":
    main()
