"""What each step takes: crops counted through all phases, weights that fade, phases in order, warm restarts."""

from __future__ import annotations

import math
from itertools import chain
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cmmdl.errors import UserError
from cmmdl.training import loop
from cmmdl.training.config import OptimConfig, TrainConfig
from cmmdl.training.configfile import load_config
from cmmdl.training.optim import RunningAverage, make_optimizer
from cmmdl.training.schedule import batch_numbers, drawn_before, loss_weights, rate_at, restarts, steps_since_restart
from cmmdl.training.setup import without_idle_biases
from cmmdl.training.step import Step
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
        ("[{start=5, restart={warmup=3}}]", "phases.0.restart.lr"),
        ("[{start=5, restart={lr=0}}]", "phases.0.restart.lr = 0"),
        ("[{start=5, share=-1}]", "phases.0.share = -1"),
        ("[{start=5, share=0.5}, {start=9, share=0.4}]", "the shares 0.5, 0.4 must add up to 1"),
        ("[{start=30000, share=1}]", "from step 30000 has a share, but the run ends at 20000"),
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


def test_a_restart_spreads_the_schedule_over_its_own_steps() -> None:
    phases = "phases=[{start=4, crop=64}, {start=10, restart={lr=2e-4, warmup=2}}, {start=12, crop=96}]"
    config = load_config(None, ["optim.lr=1e-3", "optim.warmup=0", "optim.floor=0", "run.steps=15", phases])
    rates = [rate_at(config, step) for step in range(15)]
    cosine = [1e-3 * (1 + math.cos(math.pi * step / 9)) / 2 for step in range(10)]
    assert rates == pytest.approx([*cosine, 1e-4, 2e-4, 2e-4, 1e-4, 0], abs=1e-12)
    assert restarts(config) == [10]
    assert [steps_since_restart(config, step) for step in (0, 9, 10, 13)] == [0, 9, 0, 3]


def test_a_schedule_is_cut_off_by_no_restart_after_its_end() -> None:
    phases = "phases=[{start=30, restart={lr=2e-4}}]"
    with_one, without = (
        load_config(None, ["optim.warmup=0", "run.steps=12", *more]) for more in ([phases], ["phases=[]"])
    )
    assert [rate_at(with_one, step) for step in range(12)] == [rate_at(without, step) for step in range(12)]


RESTART = "phases=[{start=3, restart={lr=1e-3}}]"


def test_a_restart_goes_on_from_the_average_without_moments(tmp_path: Path) -> None:
    """The weights after it are those of a new optimiser that starts from the average before it."""
    pairs, slow = write_pairs(tmp_path / "pairs"), "optim.ema=0.9"
    before = loop.train(tiny_config(tmp_path / "run", pairs, RESTART, slow, "run.stop_after=3"))
    averaged = without_idle_biases(load_model(before.weights)).train()
    training = loop.Training(tiny_config(tmp_path / "run", pairs, RESTART, slow))
    assert not all(value.equal(training.network.state_dict()[name]) for name, value in averaged.state_dict().items())
    batch = next(iter(training.batches()))
    training.optimise(batch)
    fresh = make_optimizer(averaged.parameters(), OptimConfig(lr=1e-3))
    pictures = {name: batch[name] for name in loop.PICTURES}
    config = training.config
    torch.manual_seed(config.run.seed * 1_000_003 + 3 * 1_009)
    Step(averaged, averaged, fresh, RunningAverage(averaged, 0), config.loss, config.optim.clip)(
        pictures, loss_weights(config, 3)
    )
    for states in (training.network.state_dict(), training.average.module.state_dict()):
        assert all(value.equal(states[name]) for name, value in averaged.state_dict().items())


def test_a_run_with_a_restart_resumes_to_the_same_bits(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs")
    whole = loop.train(tiny_config(tmp_path / "whole", pairs, RESTART))
    for stop in (3, 4, 0):
        parts = loop.train(tiny_config(tmp_path / "parts", pairs, RESTART, f"run.stop_after={stop}"))
    states = [load_model(outcome.weights).state_dict() for outcome in (whole, parts)]
    assert all(value.equal(states[1][name]) for name, value in states[0].items())
