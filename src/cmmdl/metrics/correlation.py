"""Pixel by pixel: errors (MSE, RMSE, PSNR) and correlations (CC, SCD) between the fused picture and its sources."""

from __future__ import annotations

import torch
from torch import Tensor

from cmmdl.metrics.border import FLAT, grey_levels
from cmmdl.metrics.windows import per_picture, safe_sqrt


def _mse(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    return (per_picture((fused - ir) ** 2) + per_picture((fused - vis) ** 2)) / 2


def mse(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Mean squared error (MSE), mean of both sources, in squared grey levels.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1].
        ir: Same shape and range.
        vis: Same shape and range.

    Returns:
        ``(B,)`` from 0 to 65025; lower is better. Differentiable.

    Raises:
        ValueError: If shape or range is wrong.

    Reference: Jagalingam, Hegde. A review of quality metrics for fused image. Aquatic Procedia, 2015.
    """
    return _mse(*grey_levels(fused, ir, vis))


def rmse(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Root mean squared error (RMSE), mean of both sources' roots, in grey levels.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1].
        ir: Same shape and range.
        vis: Same shape and range.

    Returns:
        ``(B,)`` from 0 to 255; lower is better. Differentiable.

    Raises:
        ValueError: If shape or range is wrong.

    Reference: Jagalingam, Hegde. A review of quality metrics for fused image. Aquatic Procedia, 2015.
    """
    levels, *sources = grey_levels(fused, ir, vis)
    first, second = (safe_sqrt(per_picture((levels - source) ** 2)) for source in sources)
    return (first + second) / 2


def psnr(fused: Tensor, ir: Tensor, vis: Tensor, *, peak: float | None = None) -> Tensor:
    """Peak signal-to-noise ratio (PSNR) from the mean MSE of both sources, in decibels.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1].
        ir: Same shape and range.
        vis: Same shape and range.
        peak: The peak value on the [0, 1] scale; ``None`` takes the maximum of the fused picture, at least 1/255.

    Returns:
        ``(B,)``; higher is better, infinite where all three pictures are equal.

    Raises:
        ValueError: If shape or range is wrong.

    Reference: Jagalingam, Hegde. A review of quality metrics for fused image. Aquatic Procedia, 2015.
    """
    levels, *sources = grey_levels(fused, ir, vis)
    top = levels.flatten(1).amax(1).clamp_min(1) if peak is None else torch.full_like(levels[:, 0, 0, 0], 255 * peak)
    return 10 * torch.log10(top**2 / _mse(levels, *sources))


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation of each pair of ``(B, 1, H, W)`` pictures in grey levels; 0 where one of them is constant."""
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (a, b))
    power_a, power_b = (a**2).mean(1), (b**2).mean(1)
    constant = torch.minimum(power_a, power_b) < FLAT**2
    product = torch.where(constant, 1.0, power_a) * torch.where(constant, 1.0, power_b)
    return torch.where(constant, 0.0, (a * b).mean(1) / product.sqrt())


def cc(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Correlation coefficient (CC): mean of Pearson's r between the fused picture and each source.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1].
        ir: Same shape and range.
        vis: Same shape and range.

    Returns:
        ``(B,)`` from -1 to 1; higher is better. The correlation with a constant picture counts as 0. Differentiable.

    Raises:
        ValueError: If shape or range is wrong.

    Reference: Deshmukh, Bhosale. Image fusion and image quality assessment of fused images. Int. Journal of Image
    Processing, 2010.
    """
    levels, *sources = grey_levels(fused, ir, vis)
    first, second = (correlation(levels, source) for source in sources)
    return (first + second) / 2


def scd(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Sum of the correlations of differences (SCD): r(ir, fused - vis) + r(vis, fused - ir).

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1].
        ir: Same shape and range.
        vis: Same shape and range.

    Returns:
        ``(B,)`` from -2 to 2; higher is better. A correlation with a constant difference, such as the fused picture
        minus itself, counts as 0 (common evaluators give NaN). Differentiable.

    Raises:
        ValueError: If shape or range is wrong.

    Reference: Aslantas, Bendes. A new image quality metric for image fusion: the sum of the correlations of
    differences. AEU Int. Journal of Electronics and Communications, 2015.
    """
    levels, a, b = grey_levels(fused, ir, vis)
    return correlation(a, levels - b) + correlation(b, levels - a)
