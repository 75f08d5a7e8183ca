"""Batch norm whose statistics are those of the global batch, on any device.

PyTorch's ``SyncBatchNorm`` refuses CPU tensors. This one reduces through ``torch.distributed``, so that gradients flow
through the statistics of all processes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class GlobalBatchNorm(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` over the batches of all processes, which must be equally large; the same state dict."""

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape; in eval mode the running statistics are used, without communication."""
        if not self.training:
            return super().forward(x)
        axes, count = (0, 2, 3), x.numel() // x.shape[1] * dist.get_world_size()
        values = x.to(self.weight.dtype)
        mean = mean_over_processes(values.mean(axes))
        centred = values - mean.view(1, -1, 1, 1)
        variance = mean_over_processes(centred.square().mean(axes))
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


class _SumOverProcesses(torch.autograd.Function):
    """All-reduce whose gradient is the all-reduced gradient: every process's loss depends on every one's input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def mean_over_processes(x: Tensor) -> Tensor:
    """The mean of ``x`` over all processes, differentiable in every process's ``x``."""
    return _SumOverProcesses.apply(x) / dist.get_world_size()


def use_global_statistics(model: nn.Module) -> None:
    """Turn every batch norm of a model into a global one, in place; parameters and buffers stay the same objects."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = GlobalBatchNorm
