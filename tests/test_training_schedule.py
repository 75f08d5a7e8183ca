"""What each step takes: crops counted through all phases, weights that fade, phases in order."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmmdl.errors import UserError
from cmmdl.training import loop
from cmmdl.training.config import TrainConfig
from cmmdl.training.configfile import load_config
from cmmdl.training.schedule import batch_numbers, drawn_before, loss_weights
from cmmdl.weights.loading import load_model
from training_helpers import tiny_config, write_pairs


def phased(*overrides: str) -> TrainConfig:
    phases = "phases=[{start=3, crop=64, batch=2}, {start=5, terms={intensity=1}}]"
    return load_config(None, ["data.batch=4", "data.crop=48", "run.steps=7", phases, *overrides])


def test_crops_are_counted_through_all_phases() -> None:
    drawn = list(batch_numbers(phased(), 0, 0, 1))
    assert [len(batch) for batch in drawn] == [4, 4, 4, 2, 2, 2, 2]
    assert [number for number, _ in chain(*drawn)] == list(range(20))
    assert [batch[0][1] for batch in drawn] == [48, 48, 48, 64, 64, 64, 64]
    assert [drawn_before(phased(), step) for step in (0, 3, 5, 7)] == [0, 12, 16, 20]
    assert list(batch_numbers(phased(), 4, 0, 1)) == drawn[4:], "a resumed run draws what it would have"


@given(first=st.integers(0, 5), steps=st.integers(1, 9), share=st.integers(1, 4), processes=st.integers(1, 4))
def test_processes_share_the_batches_of_one(first: int, steps: int, share: int, processes: int) -> None:
    batch = max(2, share * processes)
    batch += -batch % processes
    phases = f"phases=[{{start=2, batch={2 * batch}}}]"
    config = load_config(None, [f"run.steps={steps}", f"data.batch={batch}", phases])
    one = list(batch_numbers(config, first, 0, 1))
    many = [list(batch_numbers(config, first, rank, processes)) for rank in range(processes)]
    assert [list(chain(*parts)) for parts in zip(*many, strict=True)] == one


def test_start_terms_fade_into_the_others() -> None:
    phases = "phases=[{start=50, terms={vif=3}}]"
    config = load_config(None, ["loss.terms={ssim=2}", "loss.hold=10", "loss.blend=4", phases])
    start = config.loss.start
    assert loss_weights(config, 0) == loss_weights(config, 10) == start
    assert loss_weights(config, 12) == {**{name: weight / 2 for name, weight in start.items()}, "ssim": 1}
    assert loss_weights(config, 14) == loss_weights(config, 49) == {"ssim": 2}
    assert loss_weights(config, 50) == loss_weights(config, 99) == {"vif": 3}


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ("[{start=5}, {start=5}]", "phases must begin one after the other, not at 5, 5"),
        ("[{start=5, crop=20}]", "phases: each crop must be at least 41"),
        ("[{start=0}]", "phases.0.start = 0"),
        ("[{start=5, corp=64}]", "no setting 'phases.0.corp'"),
    ],
)
def test_phases_that_cannot_be_are_refused(phases: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_config(None, [f"phases={phases}"])


def test_a_run_of_two_phases_resumes_to_the_same_bits(tmp_path: Path) -> None:
    pairs, phases = write_pairs(tmp_path / "pairs"), "phases=[{start=3, crop=56, batch=2}]"
    whole = loop.train(tiny_config(tmp_path / "whole", pairs, phases))
    loop.train(tiny_config(tmp_path / "part", pairs, phases, "run.stop_after=4"))
    rest = loop.train(tiny_config(tmp_path / "part", pairs, phases))
    states = [load_model(outcome.weights).state_dict() for outcome in (whole, rest)]
    assert all(value.equal(states[1][name]) for name, value in states[0].items())
