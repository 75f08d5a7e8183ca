"""Models of human vision as judges: Chen-Blum (QCB) and Chen-Varshney (QCV)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from cmmdl.metrics.border import grey_levels
from cmmdl.metrics.contrast import sobel
from cmmdl.metrics.windows import per_picture, safe_ratio, smooth


def stretched(levels: Tensor) -> Tensor:
    """Each picture drawn out to 0..255 by its minimum and maximum and rounded; a constant one becomes 0."""
    low, high = (limit((1, 2, 3), keepdim=True) for limit in (levels.amin, levels.amax))
    return (safe_ratio(levels - low, high - low, 0.0) * 255 + 0.5).floor()


def _filtered(levels: Tensor, sensitivity: Callable[[Tensor], Tensor], degrees: float) -> Tensor:
    """The picture as an eye of that contrast sensitivity sees it, filtered in the Fourier domain.

    ``degrees`` divides frequencies in half cycles a picture, as 2k / ``degrees``, to give cycles a degree.
    """
    h, w = levels.shape[-2:]
    fy = torch.fft.fftfreq(h, 1 / h, dtype=levels.dtype, device=levels.device) * 2 / degrees
    fx = torch.fft.rfftfreq(w, 1 / w, dtype=levels.dtype, device=levels.device) * 2 / degrees
    response = sensitivity(torch.hypot(fx, fy.unsqueeze(1)))
    return torch.fft.irfft2(torch.fft.rfft2(levels) * response, s=(h, w))


def _contrast(levels: Tensor) -> Tensor:
    """Masked local contrast: the ratio of two Gaussian means (σ 2 and 4, 31x31, zero border), less 1."""
    seen = _filtered(levels, lambda r: torch.exp(-((r / 15.3870) ** 2)) - 0.7622 * torch.exp(-((r / 1.3456) ** 2)), 30)
    fine, coarse = (smooth(pad(seen, (15, 15, 15, 15)), _density(sigma)) for sigma in (2.0, 4.0))
    contrast = (safe_ratio(fine, coarse, 1.0) - 1).abs()
    return contrast**3 / (contrast**2 + 1e-4)


def _density(sigma: float) -> list[float]:
    return [math.exp(-(i**2) / (2 * sigma**2)) / (math.sqrt(2 * math.pi) * sigma) for i in range(-15, 16)]


def qcb(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Chen-Blum metric (QCB): preserved local contrast, weighted by the contrast of each source.

    All pictures are stretched to 0..255 and rounded first. Difference-of-Gaussian contrast sensitivity, contrast from
    Gaussians of σ 2 and 4 with a zero border, mean of the quality map.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1].
        ir: Same shape and range.
        vis: Same shape and range.

    Returns:
        ``(B,)`` from 0 to 1; higher is better. Where neither picture has contrast it counts as kept; where neither
        source has any both weigh the same.

    Raises:
        ValueError: If shape or range is wrong.

    Reference: Chen, Blum. A new automated quality assessment algorithm for image fusion. Image and Vision Computing,
    2009.
    """
    seen_f, *seen = (_contrast(stretched(x)) for x in grey_levels(fused, ir, vis))
    a, b = (safe_ratio(torch.minimum(seen_f, s), torch.maximum(seen_f, s), 1.0) for s in seen)
    weight = safe_ratio(seen[0] ** 2, seen[0] ** 2 + seen[1] ** 2, 0.5)
    return per_picture(weight * a + (1 - weight) * b)


def _block_sums(maps: Tensor, size: int = 16) -> Tensor:
    """Sums over ``size`` x ``size`` blocks; those at the lower and right border are filled up with zeros."""
    h, w = maps.shape[-2:]
    return size**2 * avg_pool2d(pad(maps, (0, -w % size, 0, -h % size)), size)


def qcv(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Chen-Varshney metric (QCV): visible error to each source, weighted by the saliency of blocks.

    All pictures are stretched to 0..255 and rounded first. 16x16 blocks, partial ones filled up with zeros; saliency is
    the sum of the fifth power of the Sobel magnitude (zero border); errors pass the Mannos-Sakrison sensitivity.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1].
        ir: Same shape and range.
        vis: Same shape and range.

    Returns:
        ``(B,)`` from 0, in squared grey levels; lower is better. Without any edge in the sources all blocks weigh the
        same.

    Raises:
        ValueError: If shape or range is wrong.

    Reference: Chen, Varshney. A human perception inspired quality metric for image fusion based on regional
    information. Information Fusion, 2007.
    """
    levels, a, b = (stretched(x) for x in grey_levels(fused, ir, vis))
    sources = torch.cat((a, b), 1)
    gx, gy = sobel(sources, "constant")
    saliency = _block_sums((gx**2 + gy**2) ** 2.5)
    saliency = torch.where(saliency.sum((1, 2, 3), keepdim=True) > 0, saliency, 1.0)
    error = _filtered(sources - levels, _mannos_sakrison, 8)
    return (saliency * _block_sums(error**2) / 256).sum((1, 2, 3)) / saliency.sum((1, 2, 3))


def _mannos_sakrison(r: Tensor) -> Tensor:
    return 2.6 * (0.0192 + 0.144 * r) * torch.exp(-((0.144 * r) ** 1.1))
