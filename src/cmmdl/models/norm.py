"""The network's two normalisations: over the channels of each pixel, and over the batch (folded when evaluating)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ChannelLayerNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel of ``(B, C, H, W)``; affine, eps 1e-5.

    Channels-last input needs no copy: the channels already lie side by side in memory.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def fold_batch_norm(weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """The convolution that equals ``norm(conv(x))`` in eval mode.

    Args:
        weight: ``(out, in, kh, kw)`` of the convolution.
        bias: ``(out,)`` or none.
        norm: The batch norm that follows, with its running statistics.

    Returns:
        Weight and bias of the one convolution.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    return weight * scale.view(-1, 1, 1, 1), shift if bias is None else shift + bias * scale


def conv_norm(parts: list[Tensor], conv: nn.Conv2d, norms: list[nn.BatchNorm2d]) -> Tensor:
    """Convolve the concatenation of ``parts`` without building it, then apply the batch norms in a row.

    Args:
        parts: Maps ``(B, C_k, H, W)`` whose channels together are the convolution's input channels.
        conv: The convolution over all of them, stride 1.
        norms: The batch norms that follow it; folded into the convolution in eval mode.

    Returns:
        ``(B, conv.out_channels, H, W)``.
    """
    weight, bias = conv.weight, conv.bias
    folded = not norms[0].training
    if folded:
        for norm in norms:
            weight, bias = fold_batch_norm(weight, bias, norm)
    y = sum_of_convs(parts, weight, bias, int(conv.padding[0]))
    if not folded:
        for norm in norms:
            y = norm(y)
    return y


def sum_of_convs(parts: list[Tensor], weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """``conv2d(cat(parts), weight, bias)`` as a sum over the parts, each with its slice of the weight."""
    start = 0
    y: Tensor | None = None
    for part in parts:
        kernel = weight[:, start : start + part.shape[1]]
        start += part.shape[1]
        y = F.conv2d(part, kernel, bias, padding=padding) if y is None else y + F.conv2d(part, kernel, padding=padding)
    assert y is not None
    return y


def without_autocast(x: Tensor) -> AbstractContextManager[None]:
    """Switches autocast off for inference, where it is on; training keeps it."""
    device = x.device.type
    if torch.is_grad_enabled() or not torch.is_autocast_enabled(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)


def lowered(x: Tensor) -> Tensor:
    """``x`` in the type of autocast's convolutions where autocast is on for inference: once, not in each of them."""
    device = x.device.type
    if torch.is_grad_enabled() or not torch.is_autocast_enabled(device):
        return x
    return x.to(torch.get_autocast_dtype(device))


def at_least_float32(x: Tensor) -> Tensor:
    """Spectra and statistics over all pixels need single precision: half-precision maps are widened, others kept."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
