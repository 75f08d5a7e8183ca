"""Similarity in windows, weighted by how salient each source is there: Qw, Qe (Piella) and QY (Yang)."""

from __future__ import annotations

import torch
from torch import Tensor

from cmmdl.metrics.border import FLAT, grey_levels
from cmmdl.metrics.contrast import sobel
from cmmdl.metrics.structure import ssim_maps
from cmmdl.metrics.windows import box, per_picture, safe_ratio, safe_sqrt, smooth


def _moments(levels: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Local mean and population variance in uniform windows; rounding below the FLAT contrast counts as none."""
    mean, square = smooth(levels, box(size)), smooth(levels**2, box(size))
    variance = square - mean**2
    return mean, torch.where(variance < FLAT**2, 0.0, variance)


def _universal_index(fused: Tensor, sources: Tensor, size: int = 8) -> tuple[Tensor, Tensor]:
    """Wang and Bovik's universal quality index of ``(B, 1, H, W)`` with ``(B, 2, H, W)``, and the sources' variance.

    Where both windows are flat the contrast term counts as 1, where both are black the luminance term does.
    """
    mean_f, var_f = _moments(fused, size)
    mean_s, var_s = _moments(sources, size)
    covariance = smooth(fused * sources, box(size)) - mean_f * mean_s
    luminance = safe_ratio(2 * mean_f * mean_s, mean_f**2 + mean_s**2, 1.0)
    return luminance * safe_ratio(2 * covariance, var_f + var_s, 1.0), var_s


def _weighted(fused: Tensor, sources: Tensor) -> Tensor:
    index, variance = _universal_index(fused, sources)
    share = safe_ratio(variance, variance.sum(1, keepdim=True), 0.5)
    saliency = variance.amax(1)
    saliency = torch.where(saliency.sum((1, 2), keepdim=True) > 0, saliency, 1.0)
    return ((share * index).sum(1) * saliency).sum((1, 2)) / saliency.sum((1, 2))


def qw(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Piella's weighted fusion quality index (Qw).

    The universal quality index with each source in 8x8 uniform windows (valid area), weighted by the sources'
    variances; windows by the larger variance. Pictures without any contrast in the sources weigh all windows alike.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1], at least 8x8.
        ir: Same shape and range.
        vis: Same shape and range.

    Returns:
        ``(B,)`` from -1 to 1; higher is better.

    Raises:
        ValueError: If shape, size or range is wrong.

    Reference: Piella, Heijmans. A new quality metric for image fusion. ICIP, 2003: Q_W = Σ c(w) (λ(w) Q0(a, f | w) +
    (1 - λ(w)) Q0(b, f | w)).
    """
    levels, a, b = grey_levels(fused, ir, vis, smallest=8)
    return _weighted(levels, torch.cat((a, b), 1))


def qe(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Piella's edge-dependent fusion quality index (Qe): Qw of the pictures times Qw of their edges.

    Edges are 3x3 Sobel magnitudes with replicated border; the exponent of the edge term is 1.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1], at least 8x8.
        ir: Same shape and range.
        vis: Same shape and range.

    Returns:
        ``(B,)`` from -1 to 1; higher is better.

    Raises:
        ValueError: If shape, size or range is wrong.

    Reference: Piella, Heijmans. A new quality metric for image fusion. ICIP, 2003: Q_E.
    """
    levels, a, b = grey_levels(fused, ir, vis, smallest=8)
    sources = torch.cat((a, b), 1)
    return _weighted(levels, sources) * _weighted(_edges(levels), _edges(sources))


def _edges(levels: Tensor) -> Tensor:
    gx, gy = sobel(levels, "replicate")
    return safe_sqrt(gx**2 + gy**2)


def qy(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Yang's similarity metric (QY): SSIM with both sources where they agree, with the better one where not.

    7x7 uniform windows (valid area), population moments, L = 255. Where the SSIM of the sources is at least 0.75 the
    two similarities are weighted by the sources' variances (alike where both are flat), else the larger one counts.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1], at least 7x7.
        ir: Same shape and range.
        vis: Same shape and range.

    Returns:
        ``(B,)`` from -1 to 1; higher is better.

    Raises:
        ValueError: If shape, size or range is wrong.

    Reference: Yang, Zhang, Wang, Li. A novel similarity based quality metric for image fusion. Information Fusion,
    2008: Q_Y.
    """
    levels, a, b = grey_levels(fused, ir, vis, smallest=7)
    sources = torch.cat((a, b), 1)
    similarity = torch.mul(*ssim_maps(levels, sources, box(7), 255.0))
    agreement = torch.mul(*ssim_maps(a, b, box(7), 255.0))[:, 0]
    _, variance = _moments(sources, 7)
    share = safe_ratio(variance, variance.sum(1, keepdim=True), 0.5)
    return per_picture(torch.where(agreement >= 0.75, (share * similarity).sum(1), similarity.amax(1)))
