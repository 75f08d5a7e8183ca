"""Visual information fidelity (VIF) in the pixel domain."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from cmmdl.metrics.border import grey_levels
from cmmdl.metrics.windows import gaussian, less, safe_ratio, smooth, sum_strips

NOISE = 2.0
"""Variance of the visual noise, in squared grey levels."""


def vif(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Visual information fidelity (VIF) in the pixel domain, summed over both sources as references.

    Four scales with Gaussian windows of 17, 9, 5 and 3 pixels (σ a fifth of that), valid area; from the second scale on
    the pictures are first blurred with that window and every second pixel is kept.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1], at least 41x41.
        ir: Same shape and range.
        vis: Same shape and range.

    Returns:
        ``(B,)`` from 0; 2 where all are equal, more where the fused picture has more contrast; higher is better. A
        constant source, with nothing to lose, counts as 1. Differentiable.

    Raises:
        ValueError: If shape, size or range is wrong.

    Reference: Sheikh, Bovik. Image information and visual quality. IEEE Trans. Image Processing, 2006; in
    the pixel domain with scalar models.
    """
    levels, a, b = grey_levels(fused, ir, vis, smallest=41)
    middle = levels.detach().mean((1, 2, 3), keepdim=True)  # moments do not see it, float32 rounding does
    pictures = torch.cat((levels, a, b), 1) - middle
    information = levels.new_zeros(())
    for scale in range(4):
        size = 2 ** (4 - scale) + 1
        taps = gaussian(size, size / 5)
        if scale:
            pictures = smooth(pictures, taps)[..., ::2, ::2]
        information = information + sum_strips(partial(_information, taps=taps), pictures, size - 1)
    kept, had = information
    return safe_ratio(kept, had, 1.0).sum(1)


def _information(pictures: Tensor, taps: tuple[float, ...]) -> Tensor:
    """What of the two sources' information arrives in the fused picture, and what there was: ``(2, B, 2)``.

    ``pictures`` is ``(B, 3, H, W)``: fused, ir, vis.
    """
    fused, sources = pictures.split((1, 2), 1)
    tiny = 1e-10 if fused.dtype == torch.float64 else 1e-2  # float32 moments are not exact to more
    mean_s, square_s = smooth(torch.cat((sources, sources**2), 1), taps).split(2, 1)
    mean_f, square_f, cross = smooth(torch.cat((fused, fused**2, fused * sources), 1), taps).split((1, 1, 2), 1)
    var_s, var_f, cov = less(square_s, mean_s, mean_s), less(square_f, mean_f, mean_f), less(cross, mean_f, mean_s)
    textured = var_s >= tiny
    var_s = torch.where(textured, var_s, 0.0)
    gain = torch.where(textured & (var_f >= tiny), cov / (var_s + 1e-10), 0.0).clamp_min(0)
    rest = less(var_f, gain, cov).clamp_min(1e-10)
    kept = torch.log1p(gain * gain * var_s / (rest + NOISE)).sum((2, 3))
    return torch.stack((kept, torch.log1p(var_s / NOISE).sum((2, 3))))
