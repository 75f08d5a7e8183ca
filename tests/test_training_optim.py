"""Learning rates by literals, the running average, moments that find their parameters again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cmmdl.training.config import OptimConfig
from cmmdl.training.optim import RunningAverage, learning_rate, make_optimizer, restore_state, state_by_name


def test_cosine_warms_up_and_falls_to_the_floor() -> None:
    config = OptimConfig(lr=1.0, warmup=4, floor=0.1)
    rates = [learning_rate(config, step, 15) for step in range(15)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[9] == pytest.approx(0.55)
    assert rates[14] == pytest.approx(0.1)
    assert sorted(rates[4:], reverse=True) == rates[4:]


def test_halving_and_constant() -> None:
    config = OptimConfig(lr=1e-4, warmup=0, schedule="halving", halve_every=20, floor=3e-5)
    assert [learning_rate(config, step, 100) for step in (0, 19, 20, 39, 40, 99)] == [
        1e-4,
        1e-4,
        5e-5,
        5e-5,
        3e-5,
        3e-5,
    ]
    assert learning_rate(OptimConfig(lr=2e-4, warmup=0, schedule="constant"), 77, 100) == 2e-4


def test_the_average_starts_fast_and_takes_batch_norm_along() -> None:
    model = nn.BatchNorm2d(1)
    average = RunningAverage(model, 0.9)
    values = []
    for step in range(40):
        nn.init.constant_(model.weight, float(step))
        model.running_mean.fill_(-float(step))
        model.num_batches_tracked.fill_(step)
        average.prepare(step)
        average.update(model)
        values.append(average.module.weight.item())
        assert average.module.running_mean.item() == pytest.approx(-values[-1])
    expected = [0.0]
    for step in range(1, 40):
        decay = min(0.9, (1 + step) / (10 + step))
        expected.append(decay * expected[-1] + (1 - decay) * step)
    assert values == pytest.approx(expected)
    assert average.module.num_batches_tracked.item() == 39
    assert not average.module.training


def test_a_decay_of_zero_follows_the_model() -> None:
    model = nn.Linear(3, 2)
    average = RunningAverage(model, 0.0)
    for step in range(3):
        nn.init.normal_(model.weight)
        average.prepare(step)
        average.update(model)
    assert torch.equal(average.module.weight, model.weight)


class Two(nn.Module):
    """The same two layers, made in one order or the other, in one memory layout or the other."""

    def __init__(self, *, swapped: bool) -> None:
        super().__init__()
        for name in ("b", "a") if swapped else ("a", "b"):
            setattr(self, name, nn.Conv2d(2, 2, 3, padding=1))
        if swapped:
            self.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(torch.tanh(self.a(x)))


@pytest.mark.parametrize("algorithm", ["adam", "adamw"])
def test_moments_survive_another_order_and_layout(algorithm: str) -> None:
    config = OptimConfig(algorithm=algorithm, lr=0.01)
    x = torch.randn(2, 2, 6, 6, generator=torch.Generator().manual_seed(0))

    def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    first = Two(swapped=False)
    optimizer = make_optimizer(first.parameters(), config)
    for _ in range(3):
        step(first, optimizer)
    second = Two(swapped=True)
    second.load_state_dict(first.state_dict())
    other = make_optimizer(second.parameters(), config)
    restore_state(other, second, state_by_name(optimizer, first))
    step(first, optimizer)
    step(second, other)
    for name, parameter in first.named_parameters():
        assert torch.allclose(parameter, dict(second.named_parameters())[name], atol=1e-6), name
    fresh = Two(swapped=True)
    fresh.load_state_dict(first.state_dict())
    step(fresh, make_optimizer(fresh.parameters(), config))
    assert not torch.allclose(fresh.a.weight, second.a.weight, atol=1e-5), "the moments mattered"
