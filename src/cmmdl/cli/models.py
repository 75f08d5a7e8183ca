"""``cmmdl models``: what ``--model`` can be, and the card of each."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cmmdl.weights.cards import ModelCard

WIDTH = 100
"""Columns of a terminal that the list fits into."""


@click.command("models")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the model cards as JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the models that have a name, trained weights first, or show the card of one.

    \b
    Examples:
      cmmdl models
      cmmdl models cmmdl-rt
      cmmdl models --json
      cmmdl fuse ir.png vis.png -o fused.png --model laplacian
    """  # noqa: D301
    from cmmdl.errors import UserError
    from cmmdl.weights.cards import available_models, find_card

    cards = available_models()
    if name is not None:
        card = find_card(name)
        if card is None:
            raise UserError(f"no model is called {name!r}; the models are {', '.join(one.name for one in cards)}")
        cards = (card,)
    if as_json:
        click.echo(json.dumps([asdict(card) for card in cards], indent=2))
    elif name is not None:
        _echo_card(cards[0])
    else:
        _echo_list(cards)


def _echo_list(cards: tuple[ModelCard, ...]) -> None:
    """A line a model, longer ones wrapped."""
    indent = max(len(card.name) for card in cards) + 2
    for card in cards:
        lines = textwrap.wrap(card.description, WIDTH - indent)
        click.echo(f"{card.name.ljust(indent)}{lines[0]}")
        for line in lines[1:]:
            click.echo(" " * indent + line)
    click.echo("\n`cmmdl models NAME` shows licence, data and scores.")


def _echo_card(card: ModelCard) -> None:
    """What is known of one model."""
    rows = [("name", card.name), ("what", card.description), ("good at", card.good_at), ("bad at", card.bad_at)]
    rows += [("licence", card.licence), ("trained on", card.trained_on), ("file", card.file), ("sha256", card.sha256)]
    rows += [(f"on {data}", _numbers(scores)) for data, scores in (card.scores or {}).items()]
    indent = max(len(title) for title, _ in rows) + 2
    for title, text in rows:
        for number, line in enumerate(textwrap.wrap(text, WIDTH - indent)):
            click.echo(f"{'' if number else title}".ljust(indent) + line)


def _numbers(scores: dict[str, float]) -> str:
    return ", ".join(f"{metric} {value:.4g}" for metric, value in scores.items())
