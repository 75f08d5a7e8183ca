"""How well edges of the sources survive (Qabf) and how many appear from nowhere (Nabf)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from cmmdl.metrics.border import FLAT, grey_levels
from cmmdl.metrics.contrast import inner_sobel
from cmmdl.metrics.windows import safe_ratio, safe_sqrt, sum_strips

BEST = 0.9994 * 0.9879 / (1 + math.exp(-22 * (1 - 0.8)))
"""Qabf of pictures with equal edges, the largest value that its constants allow."""


def _edges(padded: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel magnitude and angle arctan(gy / gx) in [-π/2, π/2], which is π/2 where gx = 0: ``(B, C, H - 2, W - 2)``.

    gx counts to the left and gy down, as a convolution has it; it matters because that π/2 has but one sign. A gradient
    below 0.001 grey level has no direction: its angle is that π/2 and passes no gradient.
    """
    gx, gy = inner_sobel(padded)
    square = gx**2 + gy**2
    upright = (square < FLAT**2) | (gx == 0)
    gy = torch.where(upright, 1.0, torch.where(gx > 0, -gy, gy))
    return safe_sqrt(square), torch.atan2(gy, torch.where(upright, 0.0, gx.abs()))


def _strength(a: Tensor, b: Tensor, equal: Tensor | float) -> Tensor:
    """The smaller gradient over the larger, and ``equal`` where both are the same."""
    same = a == b
    return torch.where(same, equal, torch.minimum(a, b) / torch.where(same, 1.0, torch.maximum(a, b)))


def qabf(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Edge preservation (Qabf): how much of the sources' edge strength and direction is kept, weighted by strength.

    3x3 Sobel with a zero border; Γg 0.9994, κg -15, σg 0.5, Γα 0.9879, κα -22, σα 0.8. As in the common evaluators the
    difference of angles is not wrapped, and where both gradients are equal the ratio of strengths is that gradient
    itself instead of 1.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1].
        ir: Same shape and range.
        vis: Same shape and range.

    Returns:
        ``(B,)`` from 0 to 0.9753, which equal pictures reach but for the weakest edges; higher is better. Sources
        without any edge (the zero border makes one around a picture that is not black) count as 0.9753.
        Differentiable.

    Raises:
        ValueError: If shape or range is wrong.

    Reference: Xydeas, Petrović. Objective image fusion performance measure. Electronics Letters, 2000: Q^AB/F.
    """
    pictures = torch.cat(grey_levels(fused, ir, vis), 1)
    kept, had = sum_strips(_kept_edges, pad(pictures, (1, 1, 1, 1)), overlap=2)
    return safe_ratio(kept, had, BEST)


def _kept_edges(padded: Tensor) -> Tensor:
    """Edge strength of both sources that the fused picture keeps, and all there is: ``(2, B)``."""
    strength_f, strength_s, angle_f, angle_s = (x for maps in _edges(padded) for x in maps.split((1, 2), 1))
    ratio = _strength(strength_f, strength_s, equal=strength_f)
    alignment = 1 - (angle_f - angle_s).abs() / (math.pi / 2)
    kept = 0.9994 * torch.sigmoid(15 * (ratio - 0.5)) * 0.9879 * torch.sigmoid(22 * (alignment - 0.8))
    return torch.stack(((kept * strength_s).sum((1, 2, 3)), strength_s.sum((1, 2, 3))))


def nabf(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Fusion artefacts (Nabf): edges of the fused picture that are stronger than those of both sources.

    3x3 Sobel over 8 with a periodic border; Γg 0.9999, κg -19, σg 0.5, Γα 0.9995, κα -22, σα 0.5; weights g^1.5 where
    g is at least 2 grey levels, else 0.001; preservation is the root of strength times direction.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1].
        ir: Same shape and range.
        vis: Same shape and range.

    Returns:
        ``(B,)`` from 0 to 1; lower is better. Differentiable, but for the jumps of its masks.

    Raises:
        ValueError: If shape or range is wrong.

    Reference: Petrović, Xydeas. Objective image fusion performance characterisation. ICCV, 2005; in the modified form
    of Kumar. Multifocus and multispectral image fusion based on pixel significance using discrete cosine harmonic
    wavelet transform. Signal, Image and Video Processing, 2013.
    """
    pictures = pad(torch.cat(grey_levels(fused, ir, vis), 1) / 8, (1, 1, 1, 1), "circular")
    strength_f, strength_s, angle_f, angle_s = (x for maps in _edges(pictures) for x in maps.split((1, 2), 1))
    ratio = _strength(strength_f, strength_s, equal=torch.where(strength_s > 0, 1.0, 0.0))
    alignment = ((angle_f - angle_s).abs() - math.pi / 2).abs() / (math.pi / 2)
    kept = 0.9999 * torch.sigmoid(19 * (ratio - 0.5)) * 0.9995 * torch.sigmoid(22 * (alignment - 0.5))
    weights = torch.where(strength_s >= 2, strength_s**1.5, 1e-3)
    new = (strength_f > strength_s).all(1, keepdim=True)
    return (new * (1 - safe_sqrt(kept)) * weights).sum((1, 2, 3)) / weights.sum((1, 2, 3))
