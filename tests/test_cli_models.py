"""``cmmdl models`` shows every card."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from cmmdl import available_models
from cmmdl.cli import main


def test_all_models_are_listed() -> None:
    result = CliRunner().invoke(main, ["models"], catch_exceptions=False)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split()[:2] == ["name", "licence"]
    for card in available_models():
        line = next(line for line in lines if line.startswith(card.name + " "))
        assert card.licence in line
        assert card.description in line


def test_scores_and_data_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    card = replace(available_models()[0], name="ours", trained_on="MSRS", scores={"TNO 25": {"EN": 7.25, "VIF": 0.8}})
    monkeypatch.setattr("cmmdl.weights.cards.available_models", lambda: (card,))
    text = CliRunner().invoke(main, ["models"], catch_exceptions=False).stdout
    assert "MSRS" in text
    assert "ours on TNO 25: EN 7.25  VIF 0.8" in text


def test_json_has_the_whole_cards() -> None:
    result = CliRunner().invoke(main, ["models", "--json"], catch_exceptions=False)
    cards = json.loads(result.stdout)
    assert [card["name"] for card in cards] == [card.name for card in available_models()]
    assert {"licence", "trained_on", "scores", "sha256"} <= cards[0].keys()
