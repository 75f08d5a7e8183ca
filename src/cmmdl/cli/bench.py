"""``cmmdl bench``: time and memory of models on this computer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmmdl.cli.exit_codes import DONE, INCOMPLETE, INTERRUPTED, NOTHING_DONE
from cmmdl.errors import UserError

if TYPE_CHECKING:
    from cmmdl.bench import Row

DEFAULT_MODELS = ("cmmdl-rt", "cmmdl-ivf")
"""The first of these that is there is measured if no model is named."""

PATH = click.Path(path_type=Path, dir_okay=False)


@click.command("bench")
@click.option("--model", "models", multiple=True, metavar="NAME_OR_PATH", help="[default: cmmdl-rt]")
@click.option(
    "--backend",
    "backends",
    multiple=True,
    type=click.Choice(["auto", "torch", "onnxruntime", "openvino"]),
    help="[default: all that are installed]",
)
@click.option("--size", "sizes", multiple=True, default=["640x480"], show_default=True, metavar="WxH")
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    default=["auto"],
    show_default=True,
    type=click.Choice(["auto", "float32", "bfloat16", "float64"]),
)
@click.option(
    "--threads", multiple=True, type=click.IntRange(1), help="CPU threads  [default: OMP_NUM_THREADS, else all cores]"
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ...")
@click.option("--tile", type=click.IntRange(1), metavar="N", help="Fuse in tiles of N pixels.")
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=60,
    show_default=True,
    help="Approximate time for all rows together.",
)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Fresh processes for each row.")
@click.option("--repeats", type=click.IntRange(1), help="Timed calls in each process, instead of --seconds.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=600,
    show_default=True,
    help="Most seconds a process may take.",
)
@click.option("--baseline", metavar="ROW", help="Show how many times as fast rows are as this one, e.g. torch.")
@click.option("--json", "json_file", type=PATH, help="Write everything that was measured.")
@click.option("--markdown", "markdown_file", type=PATH, help="Write the table as Markdown.")
@click.option("--video", is_flag=True, help="Measure reading, fusing and writing clips instead: alone and all at once.")
@click.option("--clip", "clip", nargs=2, type=PATH, metavar="IR VIS", help="With --video: clips  [default: drawn ones]")
@click.option("--frames", type=click.IntRange(2), default=60, show_default=True, help="With --video: of drawn clips.")
@click.option("--steady", is_flag=True, help="With --video: fuse with --steady.")
@click.option("-q", "--quiet", is_flag=True, help="Print the table only, no progress.")
def command(json_file: Path | None, markdown_file: Path | None, **options: Any) -> None:
    """Measure time and memory of models on this computer: every combination of the options is a row.

    Timed is one fusion, array in, array out, of a synthetic scene, and apart from it the bare model. In each round
    every row has a fresh process, one after the other. --model, --backend, --size, --precision and --threads may be
    repeated. A row that cannot run is named with the reason and makes the exit status 3, or 1 if no row can run.

    \b
    Examples:
      cmmdl bench
      cmmdl bench --model cmmdl-ivf --model laplacian --backend torch --size 320x240 --size 640x480
      cmmdl bench --precision float32 --precision bfloat16 --threads 1 --threads 4 --baseline "torch float32 threads=1"
      cmmdl bench --video --model cmmdl-rt --threads 2
      cmmdl bench --model model.onnx --seconds 300 --rounds 10 --json bench.json --markdown bench.md
    """  # noqa: D301
    from cmmdl.bench import Row, baselines, cases_of
    from cmmdl.bench.case import parse_size

    if options["video"]:
        from cmmdl.cli.bench_video import bench_video

        sys.exit(bench_video(options, json_file, markdown_file))
    for path in (json_file, markdown_file):
        if path and not path.absolute().parent.is_dir():
            raise UserError(f"{path}: there is no folder {path.parent}; create it first")
    cases = cases_of(
        options["models"] or [_default_model()],
        options["backends"],
        [parse_size(size) for size in options["sizes"]],
        options["precisions"],
        options["threads"] or [None],
        device=options["device"],
        tile=options["tile"],
    )
    rows = [Row(case) for case in dict.fromkeys(cases)]
    against = baselines(rows, options["baseline"]) if options["baseline"] else None
    sys.exit(_run(rows, against, json_file, markdown_file, options))


def _run(
    rows: list[Row],
    against: list[Row] | None,
    json_file: Path | None,
    markdown_file: Path | None,
    options: dict[str, Any],
) -> int:
    """Measures, prints and writes; returns the exit code."""
    import json

    from cmmdl.bench import Plan, measure, printing
    from cmmdl.bench.machine import machine
    from cmmdl.files.atomic import write_bytes

    plan = Plan(**{name: options[name] for name in ("seconds", "rounds", "repeats", "timeout")})
    here = machine()
    interrupted = False
    try:
        measure(rows, plan, lambda text: None if options["quiet"] else click.echo(text, err=True))
    except KeyboardInterrupt:
        interrupted = True
        for row in rows:
            row.failure = row.failure or ("" if row.processes else "interrupted")
    click.echo(printing.plain(rows, here, against))
    if json_file:
        write_bytes(json_file, (json.dumps(printing.as_dict(rows, here, plan, against), indent=1) + "\n").encode())
    if markdown_file:
        write_bytes(markdown_file, printing.markdown(rows, here, against).encode())
    if interrupted:
        return INTERRUPTED
    if all(row.failure for row in rows):
        click.echo(f"error: no row could be measured: {rows[0].failure}", err=True)
        return NOTHING_DONE
    return INCOMPLETE if any(row.failure for row in rows) else DONE


def _default_model() -> str:
    from cmmdl.weights.cards import find_card

    return next(name for name in DEFAULT_MODELS if find_card(name))
