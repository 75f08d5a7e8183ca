"""``cmmdl evaluate``: scores, means, ranks and significance of fused pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmmdl.cli.evaluate_clips import (
    are_clips,
    check_unused,
    clip_score_options,
    print_steadiness,
    score_clips,
    with_steadiness,
)
from cmmdl.cli.exit_codes import INCOMPLETE
from cmmdl.cli.naming import naming_options
from cmmdl.cli.notes import Notes, strict_option
from cmmdl.cli.ranges import range_options
from cmmdl.errors import UsageError, UserError

if TYPE_CHECKING:
    from cmmdl.evaluate import Board, Evaluation

CONVENTION_NAMES = ["cmmdl", "cddfuse", "vifb", "vfbench", "paper"]
BASELINE_NAMES = ["mean", "max", "laplacian", "wavelet", "gff", "tif", "adf", "gtf", "edges", "blend"]

_FILE = click.Path(dir_okay=False, path_type=Path)


def _list_metrics(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Prints the table of metrics and ends."""
    if not wanted:
        return
    from cmmdl.metrics import CONVENTIONS, METRICS

    rows = [("metric", "better", "range", "conventions", "name", "source")]
    for name, m in METRICS.items():
        span = f"{m.range[0]:g} .. {m.range[1]:g} {m.unit}".rstrip()
        named = ",".join(c for c in CONVENTIONS if c != "paper" and name in CONVENTIONS[c].metrics)
        rows.append((name, m.direction, span, named or "-", m.title, m.source))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    context.exit()


@click.command("evaluate")
@click.argument("paths", nargs=-1, metavar="[FUSED] IR VIS", type=click.Path(path_type=Path))
@click.option("--method", "methods", multiple=True, metavar="NAME=PATH", help="A method's fused pictures; repeatable.")
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    type=click.Choice(BASELINE_NAMES),
    help="Also fuse the sources (in grey) by this and score the result; repeatable.",
)
@click.option("--board", type=_FILE, help="JSON file of known means (method → metric → score) to rank with.")
@click.option("--convention", type=click.Choice(CONVENTION_NAMES), default="cmmdl", show_default=True)
@click.option("--metrics", metavar="EN,SD,...", help="Columns of the table.  [default: the convention's own]")
@click.option(
    "--list-metrics",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_metrics,
    help="Show all metrics with range, direction and paper, and exit.",
)
@click.option("--stretch", is_flag=True, help="Stretch fused pictures to 0..255 by min and max before scoring.")
@click.option(
    "--fused-suffix", default="", metavar="TEXT", help="Strip from fused stems before pairing, e.g. _{method}."
)
@naming_options
@range_options()
@strict_option
@click.option("--csv", "csv_file", type=_FILE, help="Write every score and each method's statistics.")
@click.option("--json", "json_file", type=_FILE, help="Write everything, as strict JSON.")
@click.option("--markdown", "markdown_file", type=_FILE, help="Write the tables for a paper or README.")
@click.option("--plot", "plot_file", type=_FILE, help="Draw a .png, .pdf or .svg.")
@click.option("--plot-kind", type=click.Choice(["strips", "radar"]), default="strips", show_default=True)
@click.option("--workers", type=click.IntRange(min=1), help="Processes of one thread each.  [default: all cores]")
@clip_score_options
def command(
    paths: tuple[Path, ...],
    methods: tuple[str, ...],
    baselines: tuple[str, ...],
    board: Path | None,
    convention: str,
    metrics: str | None,
    stretch: bool,
    csv_file: Path | None,
    json_file: Path | None,
    markdown_file: Path | None,
    plot_file: Path | None,
    plot_kind: str,
    workers: int | None,
    offset: float | None,
    every: int | None,
    fps: Any,
    ir_range: str,
    vis_range: str | None,
    strict: bool,
    **naming: Any,
) -> None:
    """Score fused pictures against their sources: three files, or three folders paired by file stem.

    Prints means; of several methods also the best (*) and second best (+) of each metric, the mean rank, and whether
    the best differs from the others by more than chance. Pictures that are missing, unreadable or of another size are
    left out for all methods, listed, and make the exit status 3.

    Of clips every Nth frame is scored, and it is measured how steady they are, beside the sources.

    \b
    cmmdl evaluate fused.png ir.png vis.png
    cmmdl evaluate results/ours ir vis --csv scores.csv
    cmmdl evaluate ir vis --method ours=results/ours --method theirs=results/theirs --baseline max --markdown table.md
    cmmdl evaluate fused.mp4 ir.mp4 vis.mp4 --convention vfbench
    cmmdl evaluate results/ours ir vis --board tno.json --metrics EN,SD,SF,AG,MI,SCD,VIF,Qabf,SSIM
    """  # noqa: D301
    from cmmdl.evaluate import evaluate_files, evaluate_folder, load_board, markdown, plain, to_csv, to_json
    from cmmdl.evaluate.plots import check_plot
    from cmmdl.files.images import quiet_decoders

    quiet_decoders()
    fused, ir, vis = _sources(paths, methods, bool(baselines))
    _check_outputs(csv_file, json_file, markdown_file, plot_file)
    if plot_file:
        check_plot(plot_file)
    known = load_board(board, convention) if board else None
    names = None if metrics is None else [name.strip() for name in metrics.split(",") if name.strip()]
    notes = Notes(quiet=False, strict=strict)
    protocol: dict[str, Any] = {"convention": convention, "metrics": names, "baselines": baselines, "stretch": stretch}
    protocol |= {"ir_range": ir_range, "vis_range": vis_range, "note": notes}
    clip_options = {"offset": offset, "every": every, "fps": fps}
    clips = None
    if are_clips([*fused.values(), ir, vis]):
        clips = score_clips(fused, ir, vis, protocol, clip_options)
        result = clips.scores
    elif check_unused(clip_options) or _are_files([*fused.values(), ir, vis]):
        result = evaluate_files(fused, ir, vis, **protocol)
    else:
        result = evaluate_folder(fused, ir, vis, workers=workers, progress=True, **protocol, **naming)
    kinds = (csv_file, "csv", to_csv), (json_file, "json", to_json), (markdown_file, "markdown", markdown)
    for path, kind, text in kinds:
        if path:
            written = text(result, known)
            _write(path, with_steadiness(kind, written, clips) if clips else written)
    if plot_file:
        _plot(plot_file, result, known, plot_kind)
    click.echo(plain(result, known, colour=sys.stdout.isatty()))
    if clips:
        print_steadiness(clips)
    _report_excluded(result)
    if status := notes.status():
        sys.exit(status)


def _sources(paths: tuple[Path, ...], methods: tuple[str, ...], more: bool) -> tuple[dict[str, Path], Path, Path]:
    """Methods by name, infrared and visible from the arguments; a bare FUSED is named by its folder or stem."""
    if len(paths) not in (2, 3):
        raise click.UsageError("give FUSED IR VIS, or IR VIS with --method or --baseline")
    if len(paths) == 2 and not methods and not more:
        raise click.UsageError("there is nothing to score: give FUSED IR VIS, or add --method NAME=PATH or --baseline")
    *first, ir, vis = paths
    fused = {path.resolve().stem if path.is_file() else path.resolve().name: path for path in first}
    for text in methods:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise click.BadParameter(f"{text!r} is not NAME=PATH", param_hint="--method")
        if name in fused:
            raise click.BadParameter(f"{name!r} was given twice", param_hint="--method")
        fused[name] = Path(path)
    return fused, ir, vis


def _are_files(paths: list[Path]) -> bool:
    """Whether all paths are files; False if all are folders."""
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: there is no such file or folder; check the path")
    files = [path for path in paths if path.is_file()]
    if 0 < len(files) < len(paths):
        raise UsageError(f"{files[0]} is a file, others are folders; give files only or folders only")
    return bool(files)


def _check_outputs(*files: Path | None) -> None:
    """Finds a misspelt folder before minutes of scoring, not after."""
    for file in files:
        if file and not file.parent.is_dir():
            raise UserError(f"{file}: there is no folder {file.parent}; create it first")


def _write(path: Path, text: str) -> None:
    from cmmdl.files.atomic import write_bytes

    write_bytes(path, text.encode())
    click.echo(f"wrote {path}", err=True)


def _plot(path: Path, result: Evaluation, board: Board | None, kind: str) -> None:
    from cmmdl.evaluate import draw

    draw(path, result, board, "radar" if kind == "radar" else "strips")
    click.echo(f"wrote {path}", err=True)


def _report_excluded(result: Evaluation) -> None:
    if not result.excluded:
        return
    pictures = len({exclusion.picture for exclusion in result.excluded})
    click.echo(f"{pictures} excluded for all methods, {len(result.pictures)} scored:", err=True)
    for exclusion in result.excluded:
        click.echo(f"  {exclusion}", err=True)
    sys.exit(INCOMPLETE)
