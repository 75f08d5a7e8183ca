"""``cmmdl models`` shows every card."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from cmmdl import available_models
from cmmdl.cli import main


def test_all_models_are_listed_in_a_hundred_columns() -> None:
    result = CliRunner().invoke(main, ["models"], catch_exceptions=False)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    for card in available_models():
        line = next(line for line in lines if line.startswith(card.name + " "))
        assert card.description.split()[0] in line


def test_the_card_of_one_shows_licence_data_and_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {"TNO 25": {"EN": 7.25, "VIF": 0.8}}
    card = replace(available_models()[0], name="ours", trained_on="MSRS", scores=scores, bad_at="It sees red as blue.")
    monkeypatch.setattr("cmmdl.weights.cards.available_models", lambda: (card,))
    monkeypatch.setattr("cmmdl.weights.cards.find_card", lambda name: card if name == "ours" else None)
    text = CliRunner().invoke(main, ["models", "ours"], catch_exceptions=False).stdout
    assert "MIT" in text
    assert "MSRS" in text
    assert text.index("It sees red as blue.") < text.index("MIT")
    assert "EN 7.25, VIF 0.8" in text
    assert max(map(len, text.splitlines())) <= 100
    wrong = CliRunner().invoke(main, ["models", "theirs"])
    assert wrong.exit_code == 1
    assert "the models are ours" in wrong.stderr


def test_json_has_the_whole_cards() -> None:
    result = CliRunner().invoke(main, ["models", "--json"], catch_exceptions=False)
    cards = json.loads(result.stdout)
    assert [card["name"] for card in cards] == [card.name for card in available_models()]
    assert {"licence", "trained_on", "scores", "sha256"} <= cards[0].keys()
