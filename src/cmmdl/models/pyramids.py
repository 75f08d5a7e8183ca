"""Two multi-scale transforms that invert exactly for any size: the Laplacian pyramid and a lifted wavelet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Bands = tuple[Tensor, ...]


def _depth(picture: Tensor, levels: int) -> int:
    """How often the shorter side can be halved, at most ``levels`` times."""
    return min(levels, min(picture.shape[-2:]).bit_length() - 1)


def _burt_kernel(like: Tensor) -> Tensor:
    """The 5x5 kernel of Burt and Adelson with a = 3/8, sum 1, as a ``(1, 1, 5, 5)`` convolution weight."""
    taps = torch.tensor([1, 4, 6, 4, 1], dtype=like.dtype, device=like.device) / 16
    return torch.outer(taps, taps)[None, None]


def _reduce(picture: Tensor) -> Tensor:
    """Blur and keep every second pixel: ``(B, 1, H, W)`` → ``(B, 1, ⌈H/2⌉, ⌈W/2⌉)``."""
    return F.conv2d(F.pad(picture, (2, 2, 2, 2), mode="replicate"), _burt_kernel(picture), stride=2)


def _expand(picture: Tensor, height: int, width: int) -> Tensor:
    """Interpolate what :func:`_reduce` made of a ``height`` x ``width`` picture back to that size."""
    padded = F.pad(picture, (1, 1, 1, 1), mode="replicate")
    full = F.conv_transpose2d(padded, 4 * _burt_kernel(picture), stride=2)
    return full[..., 4 : 4 + height, 4 : 4 + width]


def laplacian_split(picture: Tensor, levels: int) -> tuple[list[Tensor], Tensor]:
    """``(B, 1, H, W)`` → the detail of each scale, finest first, and the low-pass picture at the top."""
    details = []
    for _ in range(_depth(picture, levels)):
        smaller = _reduce(picture)
        details.append(picture - _expand(smaller, *picture.shape[-2:]))
        picture = smaller
    return details, picture


def laplacian_merge(details: Sequence[Tensor], top: Tensor) -> Tensor:
    """The inverse of :func:`laplacian_split`."""
    for detail in reversed(details):
        top = detail + _expand(top, *detail.shape[-2:])
    return top


def _shift_pair(signal: Tensor, count: int, first: int) -> Tensor:
    """``signal[first + k] + signal[first + k + 1]`` for k < count along the last axis, indices held at the ends."""
    index = torch.arange(first, first + count + 1, device=signal.device).clamp(0, signal.shape[-1] - 1)
    held = signal[..., index]
    return held[..., :-1] + held[..., 1:]


def _lift(signal: Tensor) -> tuple[Tensor, Tensor]:
    """One 5/3 step along the last axis: n values → ⌈n/2⌉ low-pass and ⌊n/2⌋ detail values."""
    even, odd = signal[..., ::2], signal[..., 1::2]
    if odd.shape[-1] == 0:
        return even, odd
    detail = odd - _shift_pair(even, odd.shape[-1], 0) / 2
    return even + _shift_pair(detail, even.shape[-1], -1) / 4, detail


def _unlift(low: Tensor, detail: Tensor) -> Tensor:
    """The inverse of :func:`_lift`."""
    if detail.shape[-1] == 0:
        return low
    even = low - _shift_pair(detail, low.shape[-1], -1) / 4
    signal = low.new_empty((*low.shape[:-1], low.shape[-1] + detail.shape[-1]))
    signal[..., ::2] = even
    signal[..., 1::2] = detail + _shift_pair(even, detail.shape[-1], 0) / 2
    return signal


def wavelet_split(picture: Tensor, levels: int) -> tuple[list[Bands], Tensor]:
    """``(B, 1, H, W)`` → three detail bands (across, down, diagonal) of each scale, finest first, and the rest."""
    details: list[Bands] = []
    for _ in range(_depth(picture, levels)):
        low, high = _lift(picture)
        low_low, low_high = (part.mT for part in _lift(low.mT))
        high_low, high_high = (part.mT for part in _lift(high.mT))
        details.append((high_low, low_high, high_high))
        picture = low_low
    return details, picture


def wavelet_merge(details: Sequence[Bands], top: Tensor) -> Tensor:
    """The inverse of :func:`wavelet_split`."""
    for high_low, low_high, high_high in reversed(details):
        low = _unlift(top.mT, low_high.mT).mT
        high = _unlift(high_low.mT, high_high.mT).mT
        top = _unlift(low, high)
    return top
