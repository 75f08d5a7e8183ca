"""Fusion metrics: exact, batched, differentiable where the mathematics allows it.

Functions take ``(B, 1, H, W)`` tensors in [0, 1], the fused picture first, and return ``(B,)``.
"""

from cmmdl.metrics.contrast import ag, ei, sd, sf
from cmmdl.metrics.correlation import cc, mse, psnr, rmse, scd
from cmmdl.metrics.fidelity import vif
from cmmdl.metrics.gradients import nabf, qabf
from cmmdl.metrics.information import cross_entropy, entropy, mutual_information, normalized_mutual_information
from cmmdl.metrics.soft import soft_entropy, soft_mutual_information
from cmmdl.metrics.structure import ms_ssim, ssim

__all__ = [
    "ag",
    "cc",
    "cross_entropy",
    "ei",
    "entropy",
    "ms_ssim",
    "mse",
    "mutual_information",
    "nabf",
    "normalized_mutual_information",
    "psnr",
    "qabf",
    "rmse",
    "scd",
    "sd",
    "sf",
    "soft_entropy",
    "soft_mutual_information",
    "ssim",
    "vif",
]
