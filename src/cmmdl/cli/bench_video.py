"""``cmmdl bench --video``."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from cmmdl.cli.exit_codes import DONE
from cmmdl.errors import UsageError


def bench_video(options: dict[str, Any], json_file: Path | None, markdown_file: Path | None) -> int:
    """Measures one model on one pair of clips; returns the exit code.

    Raises:
        UsageError: If there is more than one row to measure.
    """
    from cmmdl.bench.case import parse_size
    from cmmdl.bench.machine import machine
    from cmmdl.bench.video import draw_clips, measure_video, table
    from cmmdl.files.atomic import write_bytes
    from cmmdl.fusion.fuser import Fuser

    several = [name for name in ("models", "backends", "sizes", "precisions", "threads") if len(options[name]) > 1]
    if several or markdown_file:
        raise UsageError("--video measures one model at one size, and prints a table; give each option once")
    fuser = Fuser(
        _first(options["models"], "cmmdl-rt"),
        backend=_first(options["backends"], "auto"),
        precision=_first(options["precisions"], "auto"),
        threads=_first(options["threads"], None),
        device=options["device"],
        tile=options["tile"],
    )
    with TemporaryDirectory(prefix="cmmdl-bench-") as folder:
        ir, vis = options["clip"] or draw_clips(Path(folder), *parse_size(options["sizes"][0]), options["frames"])
        width, height = _size(str(vis))
        times = measure_video(fuser, ir, vis, Path(folder) / "fused.mp4", steady=options["steady"])
    click.echo(f"{fuser.backend.describe()}, {'steady, ' if options['steady'] else ''}{width}x{height}")
    click.echo(table(times))
    if json_file:
        found = asdict(times) | {"bound": times.bound, "ratio": times.ratio, "machine": str(machine())}
        write_bytes(json_file, (json.dumps(found, indent=1) + "\n").encode())
    return DONE


def _size(clip: str) -> tuple[int, int]:
    """Width and height of its frames."""
    from cmmdl.files.video.opening import open_clip

    with closing(open_clip(clip, note=lambda text: None)) as opened:
        return opened.facts.width, opened.facts.height


def _first(given: tuple[Any, ...], default: Any) -> Any:
    return given[0] if given else default
