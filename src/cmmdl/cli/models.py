"""``cmmdl models``: what ``--model`` can be, with licence, data and scores."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cmmdl.weights.cards import ModelCard


@click.command("models")
@click.option("--json", "as_json", is_flag=True, help="Print the model cards as JSON.")
def command(as_json: bool) -> None:
    """List the models that have a name: trained weights first, then methods that need none.

    \b
    Examples:
      cmmdl models
      cmmdl models --json
      cmmdl fuse ir.png vis.png -o fused.png --model laplacian
    """  # noqa: D301
    from cmmdl.weights.cards import available_models

    cards = available_models()
    if as_json:
        click.echo(json.dumps([asdict(card) for card in cards], indent=2))
        return
    rows = [("name", "licence", "trained on", "description"), *map(_row, cards)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        click.echo("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]))
    for card in cards:
        _echo_scores(card)


def _row(card: ModelCard) -> tuple[str, str, str, str]:
    return card.name, card.licence, card.trained_on or "-", card.description


def _echo_scores(card: ModelCard) -> None:
    """The mean scores of one model, a line a data set."""
    for data, scores in (card.scores or {}).items():
        values = "  ".join(f"{metric} {value:.4g}" for metric, value in scores.items())
        click.echo(f"\n{card.name} on {data}: {values}")
