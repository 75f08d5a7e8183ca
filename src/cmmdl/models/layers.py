"""Layers that the networks share: convolutions, norms, reflected borders, and where half precision ends."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Pointwise(nn.Conv2d):
    """A 1x1 convolution, computed as one matrix product over the channels of each pixel.

    With one thread PyTorch's convolution takes half as long again, training included. An export keeps the convolution.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool = False) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H, W)``, channels-last."""
        return pointwise(x, self.weight, self.bias)


class Depthwise(nn.Conv2d):
    """A 3x3 convolution of each channel by itself."""

    def __init__(self, width: int, *, padding: int = 1) -> None:
        super().__init__(width, width, 3, padding=padding, groups=width, bias=False)


class ChannelLayerNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel of ``(B, C, H, W)``; affine, eps 1e-5.

    Channels-last input needs no copy: the channels already lie side by side in memory.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class LeakyReLU(nn.Module):
    """A slope of 0.1 below zero."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.leaky_relu(x, 0.1, inplace=not torch.is_grad_enabled())


def relu6(x: Tensor) -> Tensor:
    """``min(max(x, 0), 6)``; overwrites ``x`` unless a gradient is recorded, for which it would be copied first."""
    return F.relu6(x, inplace=not torch.is_grad_enabled())


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``conv2d(x, weight, bias)`` of a kernel ``(out, in, 1, 1)``."""
    if torch.compiler.is_compiling():
        return F.conv2d(x, weight, bias)
    return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


def projection(x: Tensor, point: Pointwise, depth: Depthwise, start: int, stop: int) -> Tensor:
    """Output channels ``start:stop`` of a 1x1 convolution followed by a depthwise 3x3 one.

    Taking the slice of the weights gives a dense map, where a slice of the result would be a strided view that every
    later operation pays for.
    """
    y = pointwise(x, point.weight[start:stop])
    return F.conv2d(y, depth.weight[start:stop], padding=1, groups=stop - start)


def folded(conv: nn.Conv2d, norms: list[nn.BatchNorm2d]) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of the one convolution that equals a convolution and the batch norms after it, in eval mode."""
    weight, bias = conv.weight, conv.bias
    for norm in norms:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        shift = norm.bias - norm.running_mean * scale
        weight, bias = weight * scale.view(-1, 1, 1, 1), shift if bias is None else shift + bias * scale
    return weight, bias


def conv_norm(parts: list[Tensor], conv: nn.Conv2d, norms: list[nn.BatchNorm2d]) -> Tensor:
    """Convolve the concatenation of ``parts`` without building it, then apply the batch norms in a row.

    Args:
        parts: Maps ``(B, C_k, H, W)`` whose channels together are the convolution's input channels.
        conv: The convolution over all of them, stride 1.
        norms: The batch norms that follow it; folded into the convolution in eval mode.

    Returns:
        ``(B, conv.out_channels, H, W)``.
    """
    if not norms[0].training:
        return sum_of_convs(parts, *folded(conv, norms), conv.padding)
    y = sum_of_convs(parts, conv.weight, conv.bias, conv.padding)
    for norm in norms:
        y = norm(y)
    return y


def sum_of_convs(parts: list[Tensor], weight: Tensor, bias: Tensor | None, padding: Any) -> Tensor:
    """``conv2d(cat(parts), weight, bias)`` as a sum over the parts, each with its slice of the weight."""
    y: Tensor | None = None
    for part, kernel in zip(parts, weight.split([part.shape[1] for part in parts], dim=1), strict=True):
        given = bias if y is None else None
        one = (
            pointwise(part, kernel, given) if weight.shape[-1] == 1 else F.conv2d(part, kernel, given, padding=padding)
        )
        y = one if y is None else y.add_(one)
    assert y is not None
    return y


def products(q: Tensor, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over all pixels of ``(B, C, H, W)``: each channel of ``q`` times each of ``k``, and the squares of both.

    Returns:
        ``(B, C, C)``, ``(B, C)`` and ``(B, C)``.
    """
    q, k = (at_least_float32(t).permute(0, 2, 3, 1).flatten(1, 2) for t in (q, k))
    with without_autocast(q):
        return at_least_float32(q.transpose(1, 2) @ k), (q * q).sum(1), (k * k).sum(1)


def mix_channels(x: Tensor, matrix: Tensor) -> Tensor:
    """A 1x1 convolution with a matrix of its own for each image: ``(B, C, H, W)`` and ``(B, C, C)``."""
    batch, width, height, breadth = x.shape
    y = x.permute(0, 2, 3, 1).flatten(1, 2) @ matrix.transpose(1, 2)
    return y.view(batch, height, breadth, width).permute(0, 3, 1, 2)


def mean_and_peak(f1: Tensor, f2: Tensor) -> Tensor:
    """Mean and maximum over the channels of both maps, ``(B, 2, H, W)``."""
    mean = (f1.mean(dim=1, keepdim=True) + f2.mean(dim=1, keepdim=True)) / 2
    peak = torch.maximum(f1.amax(dim=1, keepdim=True), f2.amax(dim=1, keepdim=True))
    return torch.cat([mean, peak], dim=1)


def reflect_border(x: Tensor, above: int = 1, below: int = 1) -> Tensor:
    """A border around ``(B, C, H, W)``: reflected, or replicated along a side of a single pixel.

    Args:
        x: The map.
        above: Rows above, 0 or 1.
        below: Rows below, 0 or 1.
    """
    height, width = x.shape[-2:]
    if height > 1 and width > 1:
        return F.pad(x, (1, 1, above, below), mode="reflect")
    x = F.pad(x, (1, 1, 0, 0), mode="reflect" if width > 1 else "replicate")
    return F.pad(x, (0, 0, above, below), mode="reflect" if height > 1 else "replicate")


def at_least_float32(x: Tensor) -> Tensor:
    """Spectra and statistics over all pixels need single precision: half-precision maps are widened, others kept."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def without_autocast(x: Tensor) -> AbstractContextManager[None]:
    """Switches autocast off for inference, where it is on; training keeps it."""
    return torch.autocast(x.device.type, enabled=False) if infers_with_autocast(x) else nullcontext()


def lowered(x: Tensor) -> Tensor:
    """``x`` in the type of autocast's convolutions where autocast is on for inference: once, not in each of them."""
    return x.to(torch.get_autocast_dtype(x.device.type)) if infers_with_autocast(x) else x


def infers_with_autocast(x: Tensor) -> bool:
    """Whether autocast is on for the device of ``x`` and no gradient is recorded."""
    device = x.device.type
    available = torch.amp.is_autocast_available(device)
    return available and not torch.is_grad_enabled() and torch.is_autocast_enabled(device)
