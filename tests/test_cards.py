"""What the cards say of the weights: their hashes, by which exported files are told apart."""

import hashlib

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
