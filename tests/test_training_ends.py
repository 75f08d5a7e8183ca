"""Shares of phases: what a run ships is the mean of the weights at their ends, however it was cut into sittings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from cmmdl.errors import UserError
from cmmdl.training import loop
from cmmdl.training.configfile import load_config
from cmmdl.training.ends import MeanOfEnds
from cmmdl.training.schedule import shares_at_ends
from cmmdl.training.validation import score, validation_pairs
from cmmdl.weights.averaging import average_models
from cmmdl.weights.loading import load_model
from training_helpers import tiny_config, write_pairs

SHARES = "phases=[{start=2, share=0.25}, {start=3, restart={lr=1e-3}}, {start=4, share=0.75}]"


def test_a_phase_ends_where_the_next_begins() -> None:
    phases = "phases=[{start=2, share=0.2}, {start=5}, {start=7, share=0.5}, {start=9, share=0.3}]"
    assert shares_at_ends(load_config(None, ["run.steps=12", phases])) == {5: 0.2, 9: 0.5, 12: 0.3}
    assert shares_at_ends(load_config(None, ["phases=[{start=2}]"])) == {}


def test_the_mean_is_that_of_literals() -> None:
    network, mean = nn.Linear(1, 2), MeanOfEnds({3: 0.25, 5: 0.75})
    for step, weight in ((2, 50.0), (3, 1.0), (4, 60.0), (5, 3.0), (6, 70.0)):
        with torch.no_grad():
            network.weight.copy_(torch.tensor([[weight], [-weight]]))
            network.bias.zero_()
        mean.take(step, network)
        assert mean.complete == (step >= 5)
    assert mean.mean(network).weight.tolist() == [[2.5], [-2.5]]


def test_a_run_ships_the_mean_of_its_ends_and_resumes_to_the_same_bits(tmp_path: Path) -> None:
    """The ends are those that runs stopped there leave; a checkpoint carries what was taken before it."""
    pairs = write_pairs(tmp_path / "pairs")
    whole = load_model(loop.train(tiny_config(tmp_path / "whole", pairs, SHARES)).weights)
    parts = {}
    for stop in (3, 5, 0):
        config = tiny_config(tmp_path / "parts", pairs, SHARES, f"run.stop_after={stop}")
        parts[stop] = load_model(loop.train(config).weights)
    last = load_model(
        loop.train(
            tiny_config(tmp_path / "last", pairs, SHARES.replace(", share=0.25", "").replace("0.75", "1"))
        ).weights
    )
    expected = average_models([parts[3], last], [0.25, 0.75]).state_dict()
    for name, value in whole.state_dict().items():
        assert value.equal(parts[0].state_dict()[name])
        assert not value.is_floating_point() or torch.allclose(value, expected[name], rtol=1e-6, atol=1e-9)
    assert not all(value.equal(last.state_dict()[name]) for name, value in whole.state_dict().items())


def test_the_mean_is_scored_at_the_end_and_carries_its_scores(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs")
    config = tiny_config(tmp_path / "run", pairs, SHARES, val={"ir": pairs / "ir", "vis": pairs / "vis", "pairs": 1})
    outcome = loop.train(config)
    assert outcome.ends == (3, 6)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    (logged,) = (line for line in lines if line["kind"] == "mean")
    again = score(load_model(outcome.weights), validation_pairs(config.val), 0, torch.device("cpu"))
    assert again["total"] == pytest.approx(logged["total"], abs=1e-3)
    (average,) = (line for line in lines if line["kind"] == "val")
    assert average["total"] != logged["total"]
    with safe_open(outcome.weights, "pt") as file:
        assert json.loads(file.metadata()["scores"])["total"] == pytest.approx(again["total"], abs=1e-3)


@pytest.mark.parametrize("before", [SHARES.replace("0.25", "0.5").replace("0.75", "0.5"), "phases=[]"])
def test_shares_that_change_once_an_end_is_past_are_refused(tmp_path: Path, before: str) -> None:
    """Even when the change is accepted: the weights of that step are gone."""
    pairs = write_pairs(tmp_path / "pairs")
    loop.train(tiny_config(tmp_path / "run", pairs, before, "run.stop_after=4"))
    with pytest.raises(UserError, match=r"after 4 steps, the mean would hold other weights or shares \(step 3\)"):
        loop.Training(tiny_config(tmp_path / "run", pairs, SHARES), accept_changes=True)
    loop.Training(tiny_config(tmp_path / "run", pairs, "phases=[]"), accept_changes=True)  # a mean given up is no loss
    loop.train(tiny_config(tmp_path / "new", pairs, before, "run.stop_after=2"))  # before that end they may
    loop.Training(tiny_config(tmp_path / "new", pairs, SHARES), accept_changes=True)
