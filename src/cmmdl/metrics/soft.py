"""Entropy and mutual information with a soft histogram: loss terms, close to EN and MI but not equal to them.

Each pixel is shared between the three nearest bins by a quadratic B-spline, so that the shares are smooth in it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cmmdl.metrics.border import grey_levels


def _shares(levels: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """The three bins of each pixel and its share in each, ``(B, 3, H W)`` both; shares sum to 1."""
    if bins < 4:
        raise ValueError(f"a soft histogram needs at least 4 bins, not {bins}")
    position = 1 + (bins - 3) * (levels / 255).clamp(0, 1).flatten(2)
    nearest = position.detach().round().nan_to_num(1.0)  # what is not a number has a bin and no share of it
    t = position - nearest
    index = torch.cat((nearest - 1, nearest, nearest + 1), 1).long()
    return index, torch.cat(((0.5 - t) ** 2 / 2, 0.75 - t**2, (0.5 + t) ** 2 / 2), 1)


def _joint(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], bins: int) -> Tensor:
    """Soft joint histogram ``(B, bins, bins)`` of two pictures' bins and shares: nine entries for each pixel."""
    index = (bins * a[0].unsqueeze(2) + b[0].unsqueeze(1)).flatten(1)
    shares = (a[1].unsqueeze(2) * b[1].unsqueeze(1)).flatten(1)
    counts = shares.new_zeros(len(shares), bins**2).scatter_add(1, index, shares)
    return counts.view(-1, bins, bins) / a[0].shape[2]


def _nats(shares: Tensor) -> Tensor:
    shares = shares.flatten(1).clamp_min(1e-12)
    return -(shares * shares.log()).sum(1)


def soft_entropy(fused: Tensor, *, bins: int = 64) -> Tensor:
    """Entropy of a soft histogram, in bits: the differentiable relative of `entropy`.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1]; those outside count as 0 or 1 and pass no gradient.
        bins: Number of bins over [0, 1].

    Returns:
        ``(B,)`` from 0 to ``log2(bins)``; higher is livelier. Lower than EN by about log2(256 / bins).

    Raises:
        ValueError: If shape or range is wrong or there are less than 4 bins.

    Reference: Unser, Thévenaz. Optimization of mutual information for multiresolution image registration. IEEE Trans.
    Image Processing, 2000, section II (B-spline Parzen windows).
    """
    (levels,) = grey_levels(fused)
    index, shares = (x.flatten(1) for x in _shares(levels, bins))
    counts = shares.new_zeros(len(shares), bins).scatter_add(1, index, shares)
    return _nats(counts / levels[0].numel()) / math.log(2)


def soft_mutual_information(fused: Tensor, ir: Tensor, vis: Tensor, *, bins: int = 32) -> Tensor:
    """Mutual information of soft joint histograms, summed over both sources, in nats: a loss term for MI.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1]; those outside count as 0 or 1 and pass no gradient.
        ir: Same shape and range.
        vis: Same shape and range.
        bins: Number of bins over [0, 1] for each picture.

    Returns:
        ``(B,)`` from 0 to ``2 log(bins)``; higher is better.

    Raises:
        ValueError: If shape or range is wrong or there are less than 4 bins.

    Reference: Unser, Thévenaz. Optimization of mutual information for multiresolution image registration. IEEE Trans.
    Image Processing, 2000, section II (B-spline Parzen windows).
    """
    pixels, *sources = (_shares(x, bins) for x in grey_levels(fused, ir, vis))
    first, second = (_shared(_joint(pixels, source, bins)) for source in sources)
    return first + second


def _shared(joint: Tensor) -> Tensor:
    return _nats(joint.sum(1)) + _nats(joint.sum(2)) - _nats(joint)
