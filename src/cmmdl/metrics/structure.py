"""Structural similarity of the fused picture to both sources: SSIM and MS-SSIM."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from cmmdl.metrics.border import grey_levels
from cmmdl.metrics.windows import box, gaussian, smooth, sum_strips

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales of MS-SSIM, from fine to coarse."""


def ssim_maps(
    fused: Tensor, sources: Tensor, taps: Sequence[float], data_range: Tensor | float, sample: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Luminance and contrast-structure terms of SSIM of one picture against several.

    Args:
        fused: ``(B, 1, H, W)`` in grey levels.
        sources: ``(B, S, H, W)`` in grey levels.
        taps: Window, separable.
        data_range: L of the constants (0.01 L)² and (0.03 L)², in grey levels.
        sample: Factor on (co)variances: n / (n - 1) for those of a sample.

    Returns:
        Two maps ``(B, S, H', W')`` over the valid area; their product is the SSIM map.
    """
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    s = sources.shape[1]
    mean_s, square_s = smooth(torch.cat((sources, sources**2), 1), taps).split(s, 1)
    mean_f, square_f, cross = smooth(torch.cat((fused, fused**2, fused * sources), 1), taps).split((1, 1, s), 1)
    product, power = mean_f * mean_s, mean_f**2 + mean_s**2
    covariance, variances = cross - product, square_f + square_s - power
    return (2 * product + c1) / (power + c1), (2 * sample * covariance + c2) / (sample * variances + c2)


def ssim(fused: Tensor, ir: Tensor, vis: Tensor, *, data_range: float | None = None) -> Tensor:
    """Structural similarity (SSIM), summed over both sources, with a 7x7 uniform window.

    Sample covariance and valid area, as the defaults of scikit-image.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1], at least 7x7.
        ir: Same shape and range.
        vis: Same shape and range.
        data_range: L of the constants on the [0, 1] scale. ``None`` takes max - min of the fused picture (at least
            1/255), the `cmmdl` convention; 2/255 is `cddfuse`; 1.0 is the textbook's and the stable choice in a loss.

    Returns:
        ``(B,)`` from -2 to 2; higher is better. Differentiable.

    Raises:
        ValueError: If shape, size or range is wrong.

    Reference: Wang, Bovik, Sheikh, Simoncelli. Image quality assessment: from error visibility to structural
    similarity. IEEE Trans. Image Processing, 2004, equation 13.
    """
    levels, a, b = grey_levels(fused, ir, vis, smallest=7)
    span = _span(levels) if data_range is None else 255 * data_range
    h, w = levels.shape[-2:]

    def similarity(pictures: Tensor) -> Tensor:
        maps = ssim_maps(pictures[:, :1], pictures[:, 1:], box(7), span, sample=49 / 48)
        return torch.mul(*maps).sum((1, 2, 3))

    return sum_strips(similarity, torch.cat((levels, a, b), 1), 6) / ((h - 6) * (w - 6))


def _span(levels: Tensor) -> Tensor:
    return (levels.amax((1, 2, 3), keepdim=True) - levels.amin((1, 2, 3), keepdim=True)).clamp_min(1)


def ms_ssim(fused: Tensor, ir: Tensor, vis: Tensor, *, scales: int = 5) -> Tensor:
    """Multi-scale structural similarity (MS-SSIM), mean of both sources.

    An 11x11 Gaussian window (σ 1.5, valid area, L = 255), 2x2 means between scales. A scale whose mean
    contrast-structure term is negative counts as 0.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1], at least 176x176 for five scales.
        ir: Same shape and range.
        vis: Same shape and range.
        scales: How many scales, 1 to 5; fewer allow smaller pictures (44x44 for three). The exponents are then divided
            by their sum.

    Returns:
        ``(B,)`` from 0 to 1; higher is better. Differentiable.

    Raises:
        ValueError: If shape, size or range is wrong.

    Reference: Wang, Simoncelli, Bovik. Multiscale structural similarity for image quality assessment. Asilomar, 2003,
    equation 7.
    """
    if not 1 <= scales <= len(SCALE_WEIGHTS):
        raise ValueError(f"scales must be 1 to {len(SCALE_WEIGHTS)}, not {scales}")
    levels, a, b = grey_levels(fused, ir, vis, smallest=11 * 2 ** (scales - 1))
    stack, weights = torch.cat((levels, a, b), 1), SCALE_WEIGHTS[:scales]
    whole = 1.0 if scales == len(SCALE_WEIGHTS) else sum(weights)  # the five as published add up to 1.0001
    total = torch.ones_like(stack[:, :2, 0, 0])
    for scale, weight in enumerate(weights):
        luminance, structure = ssim_maps(stack[:, :1], stack[:, 1:], gaussian(11, 1.5), 255.0)
        last = scale == scales - 1
        term = (luminance * structure if last else structure).mean((2, 3))
        total = total * _power(term, weight / whole)
        stack = stack if last else avg_pool2d(stack, 2)
    return total.mean(1)


def _power(x: Tensor, exponent: float) -> Tensor:
    """``x`` to a broken power, and 0 without a gradient where ``x`` is not positive."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1.0) ** exponent, 0.0)
