"""``-``: an encoded picture from standard input, or the result to standard output."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cmmdl.errors import UsageError, UserError


def wants_pipe(ir: Path | str, vis: Path | str | None, out: Path | None, options: dict[str, Any]) -> bool:
    """Whether a side is an encoded picture in a pipe; clips go through pipes as raw frames, which need ``--size``."""
    from cmmdl.files.video.codecs import CONTAINERS
    from cmmdl.files.video.opening import is_clip

    places = [place for place in (ir, vis, out) if place is not None]
    files = [place for place in places if str(place) != "-"]
    moving = any(is_clip(place) or Path(place).suffix.lower() in CONTAINERS for place in files)
    return len(files) < len(places) and not moving and options["size"] is None and options["pixel"] is None


def fuse_pipe(
    ir: Path | str, vis: Path | str | None, out: Path | None, options: dict[str, Any], run: Callable[..., int]
) -> int:
    """Fuses with standard input for one side, standard output for the result, or both; returns the exit code.

    Args:
        ir: A path, or ``-``.
        vis: Likewise; None where one file holds both.
        out: Likewise. What goes into a pipe has the format of ``--format``.
        options: Of the command line.
        run: Fuses files: ``run(ir, vis, out, options)``.

    Raises:
        UserError: If standard input brings nothing, or is asked for twice.
    """
    from cmmdl.files.inmemory import as_file

    if str(ir) == str(vis) == "-":
        raise UsageError("standard input can be one of the two pictures; give a file for the other")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cmmdl-")))
        sides = [
            stack.enter_context(as_file(_standard_input(), "standard input")) if str(side) == "-" else side
            for side in (ir, vis)
        ]
        if str(out) != "-":
            return run(*sides, out, options)
        drawn = folder / f"fused.{options['suffix']}"
        status = run(*sides, drawn, {**options, "quiet": True, "as_json": False})
        if drawn.is_file():
            sys.stdout.buffer.write(drawn.read_bytes())
            sys.stdout.buffer.flush()
        return status


def _standard_input() -> bytes:
    data = sys.stdin.buffer.read()
    if not data:
        raise UserError("standard input is empty; pipe a picture into it")
    return data
