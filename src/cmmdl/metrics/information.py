"""Histograms of grey levels: entropy, mutual information, cross entropy. Not differentiable; see `soft` for losses."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cmmdl.metrics.border import grey_levels

LEVELS = 256


def histogram(levels: Tensor, bins: int = LEVELS) -> Tensor:
    """Shares of each whole value 0..bins - 1 in ``(B, ...)``: ``(B, bins)`` float64."""
    values = levels.flatten(1).long()
    offset = bins * torch.arange(len(values), device=values.device).unsqueeze(1)
    counts = torch.bincount((values + offset).flatten(), minlength=len(values) * bins)
    return counts.view(-1, bins).double() / values.shape[1]


def joint_histogram(a: Tensor, b: Tensor) -> Tensor:
    """Shares of each pair of grey levels: ``(B, 256, 256)`` float64."""
    return histogram(a * LEVELS + b, LEVELS**2).view(-1, LEVELS, LEVELS)


def nats(shares: Tensor) -> Tensor:
    """Shannon entropy of ``(B, ...)`` shares, in nats: ``(B,)``."""
    return torch.special.entr(shares).flatten(1).sum(1)


def shared_nats(joint: Tensor) -> Tensor:
    """Mutual information of a joint histogram ``(B, N, M)``, in nats: ``(B,)``, 0 or more."""
    return (nats(joint.sum(1)) + nats(joint.sum(2)) - nats(joint)).clamp_min(0)


def entropy(fused: Tensor) -> Tensor:
    """Entropy (EN) of the grey levels, 256 bins, in bits.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1]; rounded to 8 bit.

    Returns:
        ``(B,)`` float64 from 0 to 8; higher is better. Not differentiable: `soft_entropy` is.

    Raises:
        ValueError: If shape or range is wrong.

    Reference: Roberts, van Aardt, Ahmed. Assessment of image fusion procedures using entropy, image quality, and
    multispectral classification. Journal of Applied Remote Sensing, 2008.
    """
    (levels,) = grey_levels(fused.detach())
    return nats(histogram(levels.round())) / math.log(2)


def mutual_information(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Mutual information (MI) of the fused picture with each source, summed, in nats.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1]; rounded to 8 bit, 256 x 256 bins.
        ir: Same shape and range.
        vis: Same shape and range.

    Returns:
        ``(B,)`` float64 from 0 to 2 ln 256 = 11.09; higher is better. Not differentiable: `soft_mutual_information` is.

    Raises:
        ValueError: If shape or range is wrong.

    Reference: Qu, Zhang, Yan. Information measure for performance of image fusion. Electronics Letters, 2002.
    """
    levels, *sources = (x.round() for x in grey_levels(fused.detach(), ir, vis))
    first, second = (shared_nats(joint_histogram(levels, source)) for source in sources)
    return first + second


def normalized_mutual_information(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Normalised mutual information (NMI): 2 Σ I(F, S) / (H(F) + H(S)) over both sources.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1]; rounded to 8 bit, 256 x 256 bins.
        ir: Same shape and range.
        vis: Same shape and range.

    Returns:
        ``(B,)`` float64 from 0 to 2; higher is better. Two constant pictures, with nothing to tell, count as 1.

    Raises:
        ValueError: If shape or range is wrong.

    Reference: Hossny, Nahavandi, Creighton. Comments on 'Information measure for performance of image fusion'.
    Electronics Letters, 2008.
    """
    levels, *sources = (x.round() for x in grey_levels(fused.detach(), ir, vis))
    first, second = (_normalized(joint_histogram(levels, source)) for source in sources)
    return 2 * (first + second)


def _normalized(joint: Tensor) -> Tensor:
    both = nats(joint.sum(1)) + nats(joint.sum(2))
    return torch.where(both > 0, shared_nats(joint) / both.clamp_min(1e-300), 0.5)


def cross_entropy(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Cross entropy (CE): mean over the sources of Σ p_S log2(p_S / p_F), in bits.

    Only levels that occur in both pictures count.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1]; rounded to 8 bit, 256 bins.
        ir: Same shape and range.
        vis: Same shape and range.

    Returns:
        ``(B,)`` float64, 0 for equal histograms and for those without a common level, a little below 0 (at
        least -0.54) where few levels are common; lower is better.

    Raises:
        ValueError: If shape or range is wrong.

    Reference: Bulanon, Burks, Alchanatis. Image fusion of visible and thermal images for fruit detection. Biosystems
    Engineering, 2009.
    """
    p_fused, *p_sources = (histogram(x.round()) for x in grey_levels(fused.detach(), ir, vis))
    first, second = (_divergence(p_source, p_fused) for p_source in p_sources)
    return (first + second) / 2


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    common = (p > 0) & (q > 0)
    return torch.where(common, p * torch.log2(torch.where(common, p / q, 1.0)), 0.0).sum(1)
