"""Sliding windows: separable filters over the valid area, Gaussian taps, local moments."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

STRIP = 1 << 17
"""Values in a strip of a picture that is worked on at a time: 1 MiB in float64."""


class _Separable(torch.autograd.Function):
    """Weighted sums of shifted pictures: in float64 many times faster than a convolution, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Sequence[float], columns: Sequence[float]) -> Tensor:
        ctx.taps = rows, columns
        if x.device.type == "cuda":
            return _convolve(x, rows, columns)
        return _slide(_slide(x, rows, -2), columns, -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        rows, columns = ctx.taps
        m, n = len(rows) - 1, len(columns) - 1
        return separable(pad(grad, (n, n, m, m)), rows[::-1], columns[::-1]), None, None


def _slide(x: Tensor, taps: Sequence[float], dim: int) -> Tensor:
    length = x.shape[dim] - len(taps) + 1
    total = x.narrow(dim, 0, length) * taps[0]
    for start, weight in enumerate(taps[1:], 1):
        if weight:
            total.add_(x.narrow(dim, start, length), alpha=weight)
    return total


def _convolve(x: Tensor, rows: Sequence[float], columns: Sequence[float]) -> Tensor:
    """The same by two depthwise convolutions: on a GPU two kernels instead of one a tap.

    Depthwise, because those of float32 are computed in float32: cuDNN's dense ones may round to TF32, which leaves
    nothing of a difference of moments.
    """
    maps = x.reshape(1, -1, *x.shape[-2:])
    maps = maps.repeat(1, 2, 1, 1) if maps.shape[1] == 1 else maps  # a single map would be a dense convolution
    for taps, shape in ((rows, (-1, 1)), (columns, (1, -1))):
        kernel = _kernel(tuple(taps), x.dtype, x.device).view(1, 1, *shape).expand(maps.shape[1], -1, -1, -1)
        maps = conv2d(maps, kernel.contiguous(), groups=maps.shape[1])
    return maps[:, : x[..., 0, 0].numel()].reshape(*x.shape[:-2], *maps.shape[-2:])


@lru_cache(maxsize=64)
def _kernel(taps: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Taps on a device, copied there once: a copy in each step would make it wait."""
    with torch.inference_mode(False):
        return torch.tensor(taps, dtype=dtype, device=device)


def separable(x: Tensor, rows: Sequence[float], columns: Sequence[float]) -> Tensor:
    """Correlate with the outer product of two lists of taps, over the valid area.

    Args:
        x: ``(..., H, W)``.
        rows: Taps down the columns, M of them.
        columns: Taps along the rows, N of them.

    Returns:
        ``(..., H - M + 1, W - N + 1)``.
    """
    return _Separable.apply(x, tuple(rows), tuple(columns))  # type: ignore[no-any-return]


def smooth(x: Tensor, taps: Sequence[float]) -> Tensor:
    """Correlate with the same taps in both directions, over the valid area."""
    return separable(x, taps, taps)


def sum_strips(sums: Callable[[Tensor], Tensor], x: Tensor, overlap: int) -> Tensor:
    """Sums over a large picture strip by strip, so that all maps in between stay in the processor's cache.

    Args:
        sums: Takes ``(B, C, h, W)``, any h above ``overlap``, and sums something over the valid area of its windows.
        x: ``(B, C, H, W)``.
        overlap: Rows by which that area is lower than the picture: the height of the window less 1.

    Returns:
        What ``sums`` of the whole would be.
    """
    rows = max(16, STRIP // x[..., 0, :].numel())
    starts = range(0, x.shape[-2] - overlap, rows)
    return torch.stack([sums(x[..., start : start + rows + overlap, :]) for start in starts]).sum(0)


def gaussian(size: int, sigma: float) -> tuple[float, ...]:
    """``size`` Gaussian taps around the middle; their sum is 1."""
    taps = [math.exp(-(((i - (size - 1) / 2) / sigma) ** 2) / 2) for i in range(size)]
    return tuple(tap / sum(taps) for tap in taps)


def box(size: int) -> tuple[float, ...]:
    """``size`` equal taps; their sum is 1."""
    return (1 / size,) * size


def less(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """``x - a b`` in one pass: variances and covariances from means."""
    return torch.addcmul(x, a, b, value=-1)


def safe_sqrt(x: Tensor) -> Tensor:
    """Square root whose gradient at 0 is 0 instead of infinite."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1.0).sqrt(), 0.0)


def safe_ratio(a: Tensor, b: Tensor, otherwise: float) -> Tensor:
    """``a / b``, and ``otherwise``, without a gradient, where ``b`` is 0."""
    zero = b == 0
    return torch.where(zero, otherwise, a / torch.where(zero, 1.0, b))


def per_picture(maps: Tensor) -> Tensor:
    """Mean of ``(B, ...)`` over all but the batch: ``(B,)``."""
    return maps.flatten(1).mean(1)
