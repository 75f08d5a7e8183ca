"""The figures as a table: Markdown, or plain text for a terminal; and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from cmmdl.bench.machine import Machine
from cmmdl.bench.row import Row
from cmmdl.bench.run import Plan

FORMAT = 1
"""Version of the JSON file, raised when something in it changes its meaning."""

_BLANK = "–"

LEGEND = (
    "time: median of `Fuser(ir, vis)`, array in, array out, without disk; 10–90 %: percentiles of all calls; model: "
    "median of the bare model, luma in and out; first: from starting Python to the first picture; peak: most memory of "
    "a process; above import: what of it came after the imports. MiB is 2^20 bytes."
)


def markdown(rows: Sequence[Row], machine: Machine, against: Sequence[Row] | None = None) -> str:
    """Machine, table and legend.

    Args:
        rows: Measured or failed.
        machine: Where.
        against: For each row the one it is compared with, see `cmmdl.bench.baselines`.
    """
    header, body = _grid(rows, against)
    lines = [header, ["---"] * 4 + ["---:"] * (len(header) - 4), *body]
    if header[-1] == "remark":
        lines[1][-1] = "---"
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    table = "\n".join(f"| {' | '.join(line)} |" for line in cells)
    return "\n\n".join([f"{machine}.", table, _legend(rows, machine, against)]) + "\n"


def plain(rows: Sequence[Row], machine: Machine, against: Sequence[Row] | None = None) -> str:
    """The same for a terminal."""
    header, body = _grid(rows, against)
    lines = [header, *body]
    widths = [max(len(line[k]) for line in lines) for k in range(len(header))]
    left = {0, 1, 2, 3} | ({len(header) - 1} if header[-1] == "remark" else set())
    padded = [
        [cell.ljust(widths[k]) if k in left else cell.rjust(widths[k]) for k, cell in enumerate(line)] for line in lines
    ]
    table = "\n".join("  ".join(line).rstrip() for line in padded)
    return "\n\n".join([f"{machine}.", table, _legend(rows, machine, against)])


def as_dict(rows: Sequence[Row], machine: Machine, plan: Plan, against: Sequence[Row] | None = None) -> dict[str, Any]:
    """For JSON; times are in seconds, memory in bytes."""
    found = []
    for k, row in enumerate(rows):
        speed = row.speed_against(against[k]) if against else None
        ratio = dict(zip(("median", "least", "most"), speed, strict=True)) if speed else None
        found.append({**row.as_dict(), "baseline": str(against[k].case) if against else None, "speed": ratio})
    return {"format": FORMAT, "machine": asdict(machine), "plan": asdict(plan), "rows": found}


def _grid(rows: Sequence[Row], against: Sequence[Row] | None) -> tuple[list[str], list[list[str]]]:
    """Title line and rows; columns that no row needs are left out."""
    columns = {
        "model": [row.case.model for row in rows],
        "backend": [_backend(row) for row in rows],
        "precision": [_of(row, "precision") for row in rows],
        "size": [row.case.size + (f" in tiles of {row.case.tile}" if row.case.tile else "") for row in rows],
        "threads": [_of(row, "threads") for row in rows],
        "time, ms": [_figure(row.time.median * 1e3) if row.processes else _BLANK for row in rows],
        "10–90 %, ms": [_range(row) if row.processes else _BLANK for row in rows],
        "calls": [f"{row.time.calls}" if row.processes else _BLANK for row in rows],
        "model, ms": [_figure(row.model_time.median * 1e3) if row.model_time else _BLANK for row in rows],
        "frames/s": [_figure(row.frames_per_second) if row.processes else _BLANK for row in rows],
        "MP/s": [_figure(row.megapixels_per_second) if row.processes else _BLANK for row in rows],
        "first, s": [_figure(row.first_result) if row.processes else _BLANK for row in rows],
        "peak, MiB": [_mib(row.peak) for row in rows],
        "above import, MiB": [_mib(row.above_import) for row in rows],
        "on GPU, MiB": ["" if row.device_peak is None else _mib(row.device_peak) for row in rows],
        "speed": [_speed(row, against[k]) if against else "" for k, row in enumerate(rows)],
        "remark": ["; ".join(row.remarks) for row in rows],
    }
    optional = ("on GPU, MiB", "speed", "remark")
    shown = {name: cells for name, cells in columns.items() if name not in optional or any(cells)}
    body = [list(line) for line in zip(*shown.values(), strict=True)]
    return list(shown), body


def _legend(rows: Sequence[Row], machine: Machine, against: Sequence[Row] | None) -> str:
    parts = [LEGEND]
    if against:
        names = ", ".join(dict.fromkeys(str(row.case) for row in against))
        parts.append(f"speed: times as fast as {names} (least to most of the rounds).")
    if machine.busy:
        parts.append(f"Other programs were running ({machine.load:.1f} on {machine.cores} cores): not quiet figures.")
    return " ".join(parts)


def _backend(row: Row) -> str:
    asked, ran = row.case.backend, _of(row, "backend")
    return f"auto: {ran}" if asked == "auto" and row.processes else asked


def _of(row: Row, name: str) -> str:
    """What a row's processes ran with, or else what was asked for."""
    asked = getattr(row.case, name)
    return str(getattr(row.processes[-1], name)) if row.processes else _BLANK if asked in (None, "auto") else str(asked)


def _range(row: Row) -> str:
    return f"{_figure(row.time.p10 * 1e3)}–{_figure(row.time.p90 * 1e3)}"


def _speed(row: Row, other: Row) -> str:
    found = row.speed_against(other)
    if not found:
        return _BLANK
    if row is other:
        return "1"
    middle, least, most = (_figure(value) for value in found)
    return f"{middle} ({least}–{most})"


def _mib(size: int | None) -> str:
    return _BLANK if size is None else f"{size / 2**20:.0f}"


def _figure(value: float) -> str:
    """Three significant digits, never with an exponent."""
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}" if value > 0 else "0"
