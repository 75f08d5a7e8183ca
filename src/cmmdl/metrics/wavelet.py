"""Wavelets and what is kept of them: the Haar transform and QM (Wang, Liu)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from cmmdl.metrics.border import grey_levels
from cmmdl.metrics.windows import safe_ratio

EXPONENTS = (2 / 3, 1 / 3)
"""Weight of each level of QM, from fine to coarse."""


def haar(x: Tensor) -> tuple[Tensor, Tensor]:
    """One level of the orthonormal Haar transform; an odd last row or column is repeated.

    Args:
        x: ``(B, C, H, W)``.

    Returns:
        Means ``(B, C, H', W')`` and details ``(B, C, 3, H', W')`` of half the size, rounded up.
    """
    x = pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2), "replicate")
    top, bottom = x[..., ::2, :], x[..., 1::2, :]
    a, b, c, d = top[..., ::2], top[..., 1::2], bottom[..., ::2], bottom[..., 1::2]
    details = torch.stack((a - b + c - d, a + b - c - d, a - b - c + d), 2)
    return (a + b + c + d) / 2, details / 2


def qm(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Wang-Liu metric (QM): wavelet details kept at two scales, weighted by their energy.

    Orthonormal Haar transform in grey levels of 0..255, two levels, odd borders repeated; a detail is kept by
    exp(-|ΔD|), mean of the three directions; levels count with exponents 2/3 and 1/3. A level without any detail counts
    as 1. On pictures of 0..1 the same formula gives values close to 1.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1], at least 4x4.
        ir: Same shape and range.
        vis: Same shape and range.

    Returns:
        ``(B,)`` from 0 to 1; higher is better.

    Raises:
        ValueError: If shape, size or range is wrong.

    Reference: Wang, Liu. A novel image fusion metric based on multi-scale analysis. ICSP, 2008: Q_M = Π_s Q_s^α_s.
    """
    levels, a, b = grey_levels(fused, ir, vis, smallest=4)
    sources, total = torch.cat((a, b), 1), torch.ones_like(levels[:, 0, 0, 0])
    for exponent in EXPONENTS:
        (levels, detail), (sources, details) = haar(levels), haar(sources)
        kept = torch.exp(-(detail - details).abs()).mean(2)
        energy = (details**2).sum(2)
        total = total * safe_ratio((kept * energy).sum((1, 2, 3)), energy.sum((1, 2, 3)), 1.0) ** exponent
    return total
