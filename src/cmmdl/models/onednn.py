"""Convolutions that end in an activation or a product, in one pass over the map, by oneDNN.

PyTorch's compiler writes such calls; here they are called by hand, where this build of PyTorch has them, for float32 on
a CPU. Elsewhere, and should they ever be missing or give something else, the plain operators take their place.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor


def gated(a: Tensor, kernel_a: Tensor, b: Tensor, kernel_b: Tensor) -> Tensor:
    """``gelu(a') * b'`` of depthwise 3x3 convolutions without padding above and below, with zeros left and right.

    Args:
        a: ``(1, C, H + 2, W)``, channels-last.
        kernel_a: ``(C, 1, 3, 3)``.
        b: Like ``a``.
        kernel_b: Like ``kernel_a``.

    Returns:
        ``(1, C, H, W)``, channels-last.
    """
    if a.dtype == torch.float32 and available():
        return _gated(a, kernel_a, b, kernel_b)
    return _plainly_gated(a, kernel_a, b, kernel_b)


def relu6_pointwise(x: Tensor, kernel: Tensor) -> Tensor:
    """``relu6`` of a 1x1 convolution of a channels-last map; ``kernel`` is ``(out, in, 1, 1)``."""
    if x.dtype == torch.float32 and available():
        return _clamped(x, kernel, 1)
    return F.conv2d(x, kernel).clamp_(0, 6)


def relu6_depthwise(x: Tensor, kernel: Tensor) -> Tensor:
    """``relu6`` of a depthwise convolution without padding; ``kernel`` is ``(C, 1, 3, 3)``."""
    if x.dtype == torch.float32 and available():
        return _clamped(x, kernel, len(kernel))
    return F.conv2d(x, kernel, groups=len(kernel)).clamp_(0, 6)


@cache
def available() -> bool:
    """Whether the fused calls are there and give what the plain operators give: tried once, on a small map."""
    if not torch.backends.mkldnn.is_available():
        return False
    numbers = torch.arange(8 * 5 * 7, dtype=torch.float32)
    a, b = (wave.view(1, 5, 7, 8).permute(0, 3, 1, 2) for wave in (3 * numbers.sin(), (2 * numbers).cos()))
    depthwise, point = numbers[:72].cos().view(8, 1, 3, 3), numbers[:32].sin().view(4, 8, 1, 1)
    try:
        pairs = [
            (_gated(a, depthwise, b, depthwise), _plainly_gated(a, depthwise, b, depthwise)),
            (_clamped(a, point, 1), F.conv2d(a, point).clamp_(0, 6)),
            (_clamped(a, depthwise, 8), F.conv2d(a, depthwise, groups=8).clamp_(0, 6)),
        ]
    except (AttributeError, RuntimeError, TypeError):
        return False
    return all(torch.allclose(fused, plain, rtol=1e-4, atol=1e-5) for fused, plain in pairs)


def _gated(a: Tensor, kernel_a: Tensor, b: Tensor, kernel_b: Tensor) -> Tensor:
    convolution, where = torch.ops.mkldnn._convolution_pointwise, ([0, 1], [1, 1], [1, 1], len(kernel_a))
    gate = convolution(a, kernel_a, None, *where, "gelu", [], "none")
    return convolution.binary(b, gate, kernel_b, None, *where, "mul", None, None, [], None)


def _plainly_gated(a: Tensor, kernel_a: Tensor, b: Tensor, kernel_b: Tensor) -> Tensor:
    gate, value = (F.conv2d(m, k, padding=(0, 1), groups=len(k)) for m, k in ((a, kernel_a), (b, kernel_b)))
    return F.gelu(gate).mul_(value)


def _clamped(x: Tensor, kernel: Tensor, groups: int) -> Tensor:
    convolution = torch.ops.mkldnn._convolution_pointwise
    return convolution(x, kernel, None, [0, 0], [1, 1], [1, 1], groups, "hardtanh", [0.0, 6.0], None)
