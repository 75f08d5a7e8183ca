"""Rows in turn: a fresh process for each row in each round, one at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

from cmmdl.bench.case import Case
from cmmdl.bench.row import Process, Row

_SLACK = 1.25
"""A further round is begun if the whole then ends within so many times the time that was asked for."""


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Attributes:
        seconds: For all rows together, about: each process gets an equal part, its start included.
        rounds: Processes of a row; fewer where the rows are too slow for the time.
        repeats: Timed calls in each process, and all rounds, whatever time it takes.
        timeout: Seconds after which a process is ended.
    """

    seconds: float = 60
    rounds: int = 3
    repeats: int | None = None
    timeout: float = 600


def measure(rows: Sequence[Row], plan: Plan | None = None, say: Callable[[str], None] = lambda text: None) -> None:
    """Fills rows with what is measured. A row that cannot run gets its ``failure``; the rest goes on.

    In each round every row has its turn, in a process of its own; so what else the computer does hits all rows alike,
    and a row's memory is its own. Pictures are the synthetic scenes of `cmmdl.scenes`: infrared grey, visible in
    colour, 8 bits each.

    Args:
        rows: Empty ones. They are filled as it goes, so what was measured is there after a ``KeyboardInterrupt``.
        plan: How long.
        say: Called with a line about each process.
    """
    plan = plan or Plan()
    with TemporaryDirectory(prefix="cmmdl-bench-") as folder:
        scenes = _draw({(row.case.width, row.case.height) for row in rows}, Path(folder))
        _export(rows, plan, say)
        begun = time.monotonic()
        for k in range(plan.rounds):
            _round(rows, plan, scenes, partial(_say_in_round, say, k + 1))
            spent = time.monotonic() - begun
            if plan.repeats is None and spent * (k + 2) / (k + 1) > _SLACK * plan.seconds:
                break


def _say_in_round(say: Callable[[str], None], number: int, text: str) -> None:
    say(f"round {number}: {text}")


def _round(rows: Sequence[Row], plan: Plan, scenes: dict[str, dict[str, str]], say: Callable[[str], None]) -> None:
    """One process of each row that has not failed."""
    share = plan.seconds / (plan.rounds * len(rows))
    for row in rows:
        if row.failure:
            continue
        task = {**asdict(row.case), **scenes[row.case.size], "seconds": share, "repeats": plan.repeats}
        found, failure = run_process(task, plan.timeout)
        if failure:
            row.failure = failure
            say(f"{row.case}: {failure}")
        else:
            row.processes.append(Process(**found))
            say(f"{row.case}: {row.processes[-1].calls[-1] * 1e3:.4g} ms")


def _draw(sizes: set[tuple[int, int]], folder: Path) -> dict[str, dict[str, str]]:
    """A scene of each size as files, since drawing takes more memory than fusing."""
    import numpy as np

    from cmmdl.scenes import synthetic_pair

    paths = {}
    for width, height in sizes:
        paths[f"{width}x{height}"] = {side: str(folder / f"{side}{width}x{height}.npy") for side in ("ir", "vis")}
        for path, picture in zip(paths[f"{width}x{height}"].values(), synthetic_pair(height, width), strict=True):
            np.save(path, picture)
    return paths


def _export(rows: Sequence[Row], plan: Plan, say: Callable[[str], None]) -> None:
    """Makes every exported file that is needed, each once and in a process of its own."""
    done: dict[Case, str] = {}
    for row in rows:
        if row.case.backend == "torch":
            continue
        alone = Case(row.case.model, row.case.backend, row.case.precision, device=row.case.device)
        if alone not in done:
            _, done[alone] = run_process({**asdict(alone), "prepare": True}, plan.timeout, say)
        row.failure = done[alone]


def run_process(
    task: dict[str, Any], timeout: float, say: Callable[[str], None] = lambda text: None
) -> tuple[dict[str, Any], str]:
    """What the worker found, and why it failed, empty if it did not.

    Args:
        task: For `cmmdl.bench.worker`.
        timeout: Seconds after which it is ended.
        say: Called with its notes.
    """
    found: dict[str, Any] = {}
    begun = time.perf_counter()
    command = [sys.executable, "-m", "cmmdl.bench.worker", json.dumps(task)]
    with TemporaryFile("w+", errors="replace") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        alarm = threading.Timer(timeout, process.kill)
        alarm.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                message = json.loads(line) if line.endswith("\n") else {}  # no end: killed while it wrote
                if "first" in message:
                    found["first_result"] = time.perf_counter() - begun
                elif "note" in message:
                    say(message["note"])
                else:
                    found |= message
            process.wait()
        finally:
            alarm.cancel()
            process.kill()
            process.wait()
        errors.seek(0)
        failure = found.get("failure") or ("" if "calls" in found else _failure(process.returncode, errors.read()))
    if failure and time.perf_counter() - begun >= timeout:
        failure = f"not done after {timeout:g} s; give more time with --timeout, or smaller pictures"
    return found, failure


def _failure(status: int, errors: str) -> str:
    """Why a process ended as it did, in one line; empty if all went well."""
    if status == 0:
        return ""
    if status == -9:
        return "killed by the system, most likely because memory ran out; use --tile, or smaller pictures"
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return f"ended with status {status}: {lines[-1][:300] if lines else 'no message'}"
