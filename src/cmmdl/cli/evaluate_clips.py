"""``cmmdl evaluate`` on clips."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cmmdl.cli.rates import RATES
from cmmdl.errors import UsageError

if TYPE_CHECKING:
    from cmmdl.evaluate.clips import ClipEvaluation

Command = TypeVar("Command", bound=Callable[..., Any])


def clip_score_options(command: Command) -> Command:
    """The options for clips."""
    for option in (
        click.option(
            "--offset",
            type=float,
            metavar="SECONDS",
            help="Clips: how much later the infrared one started.",
        ),
        click.option(
            "--every",
            type=click.IntRange(min=1),
            metavar="N",
            help="Clips: score every Nth frame, 1 for all  [default: about 24 frames, 240 for steadiness]",
        ),
        click.option(
            "--fps",
            type=RATES,
            metavar="RATE",
            help="Clips: frames a second of numbered pictures and pages; if they differ: 9,25 (infrared, the others)  "
            "[default: 25]",
        ),
    ):
        command = option(command)
    return command


def are_clips(paths: list[Path | str]) -> bool:
    """Whether the first of them is a clip; then all must be."""
    from cmmdl.files.video.opening import is_recording

    return any(is_recording(path) for path in paths)


def check_unused(options: Mapping[str, Any]) -> bool:
    """Refuses options for clips where there are none; False if all is well."""
    for name in ("offset", "every", "fps"):
        if options[name] is not None:
            raise UsageError(f"--{name} is for clips, and these are pictures; leave it out")
    return False


def score_clips(
    fused: Mapping[str, Path | str],
    ir: Path | str,
    vis: Path | str,
    protocol: Mapping[str, Any],
    options: Mapping[str, Any],
) -> ClipEvaluation:
    """Scores clips behind a bar.

    Args:
        fused: Fused clips by name.
        ir: The infrared clip.
        vis: The visible clip.
        protocol: How frames are scored, as of pictures.
        options: Those for clips.
    """
    from tqdm import tqdm

    from cmmdl.evaluate.clips import evaluate_clips

    if protocol["baselines"]:
        raise UsageError("--baseline is for pictures; fuse the clips with it first: cmmdl fuse --model max")
    asked = {name: value for name, value in protocol.items() if name != "baselines"}
    with tqdm(desc="scoring", unit=" frames", disable=None, file=sys.stderr) as bar:
        return evaluate_clips(
            {name: str(path) for name, path in fused.items()},
            str(ir),
            str(vis),
            every=options["every"],
            offset=options["offset"] or 0.0,
            rate=options["fps"],
            progress=bar.update,
            **asked,
        )


def print_steadiness(found: ClipEvaluation) -> None:
    """The table of steadiness below that of the metrics."""
    from cmmdl.evaluate.clips import caption, steadiness_table

    rows = steadiness_table(found)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    click.echo()
    for name, *cells in rows:
        numbers = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        click.echo("  ".join([name.ljust(widths[0]), *numbers]))
    click.echo(caption(found))


def with_steadiness(kind: str, text: str, found: ClipEvaluation) -> str:
    """A written report with the steadiness in it: JSON and Markdown; CSV has metrics only."""
    from cmmdl.evaluate.clips import as_dict, caption, steadiness_table

    if kind == "json":
        return json.dumps(json.loads(text) | {"steadiness": as_dict(found)}, indent=1) + "\n"
    if kind == "markdown":
        head, *rows = (f"| {' | '.join(row)} |" for row in steadiness_table(found))
        return "\n".join([text.rstrip(), "", head, "|---" + "|---:" * 4 + "|", *rows, "", caption(found)]) + "\n"
    return text
