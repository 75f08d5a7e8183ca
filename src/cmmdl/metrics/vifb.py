"""What the VIFB benchmark counts in its own way; all else of its thirteen metrics is as in the other modules.

Functions take ``(B, 1, H, W)`` pictures in [0, 1] or uint8, B the channels of a colour picture, and return ``(B,)``
unless they say otherwise.

Reference: Zhang, Ye, Xiao. VIFB: a visible and infrared image fusion benchmark. CVPR Workshops, 2020, and its code.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cmmdl.metrics.border import grey_levels
from cmmdl.metrics.contrast import ag
from cmmdl.metrics.information import joint_histogram, shared_nats
from cmmdl.metrics.perception import stretched
from cmmdl.metrics.structure import ssim_maps
from cmmdl.metrics.windows import gaussian, per_picture


def average_gradient(fused: Tensor) -> Tensor:
    """AG with the sum over all H W pixels divided by (H - 1)(W - 1)."""
    h, w = fused.shape[-2:]
    return ag(fused) * (h * w / ((h - 1) * (w - 1)))


def spatial_frequency(fused: Tensor) -> Tensor:
    """SF of the channels side by side as one picture, all sums divided by its number of pixels; gives ``(1,)``."""
    (levels,) = grey_levels(fused, smallest=2)
    wide = torch.cat(list(levels.split(1)), -1)
    return ((wide.diff(dim=-1) ** 2).sum() + (wide.diff(dim=-2) ** 2).sum()).div(wide.numel()).sqrt().unsqueeze(0)


def mutual_information(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """MI in nats, summed over both sources, of pictures stretched to 0..255 and rounded."""
    levels, *sources = (stretched(x) for x in grey_levels(fused, ir, vis))
    first, second = (shared_nats(joint_histogram(levels, source)) for source in sources)
    return first + second


def rmse(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Mean over the sources of the root of the summed squares over H W: the root is taken before dividing."""
    levels, *sources = grey_levels(fused, ir, vis)
    first, second = (((levels - source) ** 2).sum((1, 2, 3)).sqrt() for source in sources)
    return (first + second) / 2 / levels[0].numel()


def psnr(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """10 log10(255² / `rmse`), with that number in place of a mean squared error; infinite for equal pictures."""
    return 10 * torch.log10(255**2 / rmse(fused, ir, vis))


def ssim(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """SSIM summed over both sources, 11x11 Gaussian window (σ 1.5), population moments, L = 255, valid area."""
    levels, a, b = grey_levels(fused, ir, vis, smallest=11)
    luminance, structure = ssim_maps(levels, torch.cat((a, b), 1), gaussian(11, 1.5), 255.0)
    return 2 * per_picture(luminance * structure)
