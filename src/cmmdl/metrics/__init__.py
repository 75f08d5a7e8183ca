"""Fusion metrics: exact, batched, differentiable where the mathematics allows it.

Functions take ``(B, 1, H, W)`` tensors in [0, 1], the fused picture first, and return ``(B,)``. ``METRICS`` is the
table of all of them, ``score`` counts whole pictures in a convention by name::

    score(fused, ir, vis, convention="vifb", metrics=["EN", "QCB"])  # {"EN": 6.89, "QCB": 0.43}
"""

from cmmdl.metrics.contrast import ag, ei, sd, sf
from cmmdl.metrics.conventions import CONVENTIONS, Convention, chosen, score
from cmmdl.metrics.correlation import cc, mse, psnr, rmse, scd
from cmmdl.metrics.features import fmi
from cmmdl.metrics.fidelity import vif
from cmmdl.metrics.gradients import nabf, qabf
from cmmdl.metrics.information import cross_entropy, entropy, mutual_information, normalized_mutual_information
from cmmdl.metrics.perception import qcb, qcv
from cmmdl.metrics.phase import phase_congruency, qp
from cmmdl.metrics.soft import soft_entropy, soft_mutual_information
from cmmdl.metrics.structure import ms_ssim, ssim
from cmmdl.metrics.table import METRICS, Metric
from cmmdl.metrics.wavelet import qm
from cmmdl.metrics.weighted import qe, qw, qy

__all__ = [
    "CONVENTIONS",
    "METRICS",
    "Convention",
    "Metric",
    "ag",
    "cc",
    "chosen",
    "cross_entropy",
    "ei",
    "entropy",
    "fmi",
    "ms_ssim",
    "mse",
    "mutual_information",
    "nabf",
    "normalized_mutual_information",
    "phase_congruency",
    "psnr",
    "qabf",
    "qcb",
    "qcv",
    "qe",
    "qm",
    "qp",
    "qw",
    "qy",
    "rmse",
    "scd",
    "score",
    "sd",
    "sf",
    "soft_entropy",
    "soft_mutual_information",
    "ssim",
    "vif",
]
