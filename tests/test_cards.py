"""What the cards say of the weights: their hashes, by which exported files are told apart."""

import hashlib
from pathlib import Path

import pytest

from cmmdl.errors import UserError
from cmmdl.weights.cards import TRAINED, ModelCard, available_models, weights_hash


@pytest.mark.parametrize("card", [card for card in available_models() if card.file], ids=lambda card: card.name)
def test_the_hash_of_a_name_is_that_of_its_file(card: ModelCard) -> None:
    expected = hashlib.sha256((TRAINED / card.file).read_bytes()).hexdigest()
    assert weights_hash(card.name) == weights_hash(TRAINED / card.file) == expected


@pytest.mark.parametrize("card", [card for card in available_models() if card.file], ids=lambda card: card.name)
def test_weights_say_what_they_are_good_and_bad_at(card: ModelCard) -> None:
    assert len(card.good_at) > 40
    assert len(card.bad_at) > 40


def test_a_method_without_weights_has_no_hash_and_an_unknown_name_is_told() -> None:
    assert weights_hash("mean") == ""
    with pytest.raises(UserError, match=r"no model or file is called 'missing\.safetensors'"):
        weights_hash("missing.safetensors")


@pytest.mark.parametrize("name", ["cmmdl-ivf", "cmmdl-rt"])
def test_the_tables_of_models_show_the_scores_of_the_cards(name: str) -> None:
    """``python benchmarks/models_table.py --write`` writes them again."""
    root = Path(__file__).resolve().parents[1]
    readme, board = (root.joinpath(page).read_text(encoding="utf-8") for page in ("README.md", "docs/leaderboard.md"))
    scores = next(card.scores for card in available_models() if card.name == name) or {}
    ranks = " / ".join(f"{scores[data]['mean rank of 14']:.2f}" for data in ("tno", "roadscene"))
    (row,) = (line for line in readme.splitlines() if line.startswith(f"| [{name}]"))
    assert row.endswith(f"| {ranks} |")
    for data in ("tno", "roadscene"):
        numbers = " | ".join(f"{scores[data][metric]:.4g}" for metric in ("EN", "SD", "SF", "AG", "MI", "SCD"))
        assert any(f"**{name}**" in line and numbers in line for line in board.splitlines())
