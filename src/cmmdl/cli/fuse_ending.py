"""What a run over folders says at its end, and the exit status that follows; the same wherever it ran."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cmmdl.cli.exit_codes import DONE, INCOMPLETE, NOTHING_DONE
from cmmdl.cli.notes import Notes

if TYPE_CHECKING:
    from cmmdl.fusion.folder import Outcome


BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]"
"""Progress over pictures, always a rate."""


def tell_end(
    outcomes: Sequence[Outcome],
    left_out: list[str],
    skipped: int,
    options: dict[str, Any],
    notes: Notes,
    **more: Any,
) -> int:
    """Says what became of all pairs; returns the exit status.

    Args:
        outcomes: Of the pairs that were to be fused.
        left_out: Lines about pictures that are in no pair.
        skipped: How many results were there already.
        options: Of the command line.
        notes: What has been said meanwhile.
        more: Other facts for ``--json``.
    """
    failed = [f"{one.pair.stem}: {one.error}" for one in outcomes if one.error]
    say(options, f"{skipped} existing skipped" if skipped else "")
    _tell_doubts([one for one in outcomes if one.doubt], len(outcomes), notes)
    _list("failed", failed)
    _list("unpaired", left_out)
    done = [str(one.pair.out) for one in outcomes if not one.error]
    told: dict[str, Any] = {"done": done, "failed": failed, "unpaired": left_out, "skipped": skipped}
    say_json(options, {**told, **more, "notes": sorted(notes.said)})
    if outcomes and len(failed) == len(outcomes):
        return NOTHING_DONE
    return notes.status(INCOMPLETE if failed or left_out else DONE)


def remedy(doubts: Sequence[Outcome]) -> str:
    """What helps where pictures do not lie on each other."""
    if any(one.doubt.startswith("shifted") for one in doubts):
        return "`cmmdl align` measures it, --align mends it"
    return "check which files belong together, and --no-check if they do"


def _tell_doubts(doubts: Sequence[Outcome], total: int, notes: Notes) -> None:
    """One table of the pairs whose pictures do not lie on each other."""
    from cmmdl.files.notes import ResultNote

    if not doubts:
        return
    width = max(len(one.pair.stem) for one in doubts)
    lines = [f"{one.pair.stem.ljust(width)}  {one.doubt}" for one in doubts]
    head = f"{len(doubts)} of {total} pairs do not seem to match; {remedy(doubts)}:"
    notes(ResultNote("\n  ".join([head, *lines])))


def say(options: dict[str, Any], text: str) -> None:
    """Prints a line, unless quiet or JSON is asked for."""
    if text and not options["quiet"] and not options["as_json"]:
        click.echo(text)


def say_json(options: dict[str, Any], facts: dict[str, Any]) -> None:
    """Prints facts, if JSON is asked for."""
    if options["as_json"]:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))


def _list(title: str, lines: list[str]) -> None:
    if lines:
        click.echo("\n  ".join([f"{len(lines)} {title}:", *lines]), err=True)
