"""How parameters move: the optimiser, its learning rate at every step, and the running average of the weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from cmmdl.training.config import OptimConfig


def make_optimizer(parameters: Iterable[nn.Parameter], config: OptimConfig) -> torch.optim.Optimizer:
    """Adam or AdamW over the parameters that want a gradient, each updated in one fused pass."""
    parameters = [parameter for parameter in parameters if parameter.requires_grad]
    cuda = any(parameter.is_cuda for parameter in parameters)
    rate = torch.tensor(config.lr, device=parameters[0].device) if cuda else config.lr  # a recorded step looks there
    moments: dict[str, Any] = {"lr": rate, "betas": config.betas, "fused": True, "capturable": cuda}
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
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
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
            key: torch.empty_like(parameter).copy_(value)
            if value.shape == parameter.shape
            else value.to(parameter.device, copy=True)
            for key, value in state.items()
        }


class RunningAverage:
    """An exponential running average of the weights and of the batch-norm statistics.

    The decay rises with the number of steps, ``min(decay, (1 + n) / (10 + n))``, so that the random start is soon
    forgotten; the first step is taken whole. A decay of 0 follows the model.

    Args:
        model: What is averaged.
        decay: In [0, 1).

    Attributes:
        module: The average, in eval mode.
        share: Of the next step's values, on the model's device.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.module = decay, copy.deepcopy(model).eval().requires_grad_(False)
        self.share = torch.ones((), device=next(model.parameters()).device)

    def prepare(self, step: int) -> None:
        """Set the share that the values after ``step`` steps, from 0, have in the average."""
        self.share.fill_(1 - min(self.decay, (1 + step) / (10 + step)) if step else 1.0)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take the present values in; all tensors at once."""
        averages, values = _floating(self.module), _floating(model)
        torch._foreach_mul_(averages, 1 - self.share)
        torch._foreach_add_(averages, torch._foreach_mul(values, self.share))
        for average, value in zip(self.module.buffers(), model.buffers(), strict=True):
            if not average.is_floating_point():
                average.copy_(value)


@torch.no_grad()
def start_over(model: nn.Module, optimizer: torch.optim.Optimizer, average: RunningAverage) -> None:
    """Give the network the averaged weights and let the optimiser forget; in place, where a recorded step looks."""
    model.load_state_dict(average.module.state_dict())
    for moments in optimizer.state.values():
        for moment in moments.values():
            moment.zero_()


def _floating(model: nn.Module) -> list[Tensor]:
    """Parameters and buffers that can be averaged."""
    return [tensor.detach() for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()]
