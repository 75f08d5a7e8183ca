"""How parameters move: the optimiser, its learning rate at every step, and the running average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from cmmdl.training.config import OptimConfig


def make_optimizer(parameters: Iterable[nn.Parameter], config: OptimConfig) -> torch.optim.Optimizer:
    """Adam or AdamW over the parameters that want a gradient, each updated in one fused pass."""
    parameters = [parameter for parameter in parameters if parameter.requires_grad]
    moments: dict[str, Any] = {"lr": config.lr, "betas": config.betas, "fused": True}
    if config.algorithm == "adam":
        return torch.optim.Adam(parameters, **moments)
    return torch.optim.AdamW(parameters, weight_decay=config.weight_decay, **moments)


def learning_rate(config: OptimConfig, step: int, steps: int) -> float:
    """The learning rate of step ``step`` (from 0) of ``steps``: a pure function, so that nothing needs saving.

    Linear warm-up, then a half cosine from ``lr`` to ``floor``, halvings down to ``floor``, or a constant.
    """
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    if config.schedule == "halving":
        return max(config.lr * 0.5 ** (step // config.halve_every), config.floor)
    if config.schedule == "constant":
        return config.lr
    done = (step - config.warmup) / max(1, steps - 1 - config.warmup)
    return config.floor + (config.lr - config.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def state_by_name(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, dict[str, Tensor]]:
    """The optimiser's moments by parameter name, so that they survive a change in the order of parameters."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    return {names[parameter]: state for parameter, state in optimizer.state.items()}


def restore_state(optimizer: torch.optim.Optimizer, model: nn.Module, saved: dict[str, dict[str, Tensor]]) -> None:
    """Put moments back that `state_by_name` gave, each laid out in memory as its parameter is."""
    parameters = dict(model.named_parameters())
    for name, state in saved.items():
        parameter = parameters[name]
        optimizer.state[parameter] = {
            key: torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value.clone()
            for key, value in state.items()
        }


def running_average(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential running average of the weights and of the batch-norm statistics.

    The decay rises with the number of steps, ``min(decay, (1 + n) / (10 + n))``, so that the random start is soon
    forgotten. A decay of 0 follows the model.
    """

    @torch.no_grad()
    def update(averages: Sequence[Tensor], values: Sequence[Tensor], count: Tensor | int) -> None:
        n = int(count)
        weight = 1 - min(decay, (1 + n) / (10 + n))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value, weight)
            else:
                average.copy_(value)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True).eval()
