"""All metrics as data: what they are called, which way is better, and where they come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor

from cmmdl.metrics import (
    contrast,
    correlation,
    features,
    fidelity,
    gradients,
    information,
    perception,
    phase,
    structure,
    wavelet,
    weighted,
)

INF = float("inf")


@dataclass(frozen=True)
class Metric:
    """One metric in its own paper's form, or in the `cmmdl` convention where the field has settled on that.

    Attributes:
        name: Short name of the field, as in tables.
        title: The name in full.
        function: ``f(fused)`` or ``f(fused, ir, vis)`` on ``(B, 1, H, W)`` pictures in [0, 1]; gives ``(B,)``.
        needs: Whether it looks at the fused picture only or at all three.
        direction: Which values are better.
        unit: Unit of the value; empty for a pure number.
        range: Least and greatest possible value.
        equal: Value where all three pictures are equal; ``None`` where that depends on the picture.
        smallest: Least height and width of a picture.
        differentiable: Whether it may be a loss term.
        equation: The formula: F fused, A and B the sources, S either of them, sums over pixels or windows unless noted.
        source: Paper.
    """

    name: str
    title: str
    function: Callable[..., Tensor]
    needs: Literal["fused", "all"]
    direction: Literal["higher", "lower"]
    unit: str
    range: tuple[float, float]
    equal: float | None
    smallest: int
    differentiable: bool
    equation: str
    source: str

    def __call__(self, fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
        """The metric of three pictures, whether it looks at all of them or not."""
        return self.function(fused) if self.needs == "fused" else self.function(fused, ir, vis)


_ALL = (
    Metric(
        "EN", "Entropy", information.entropy, "fused", "higher", "bit", (0, 8), None, 1, False,
        "−Σ p log2 p",
        "Roberts, van Aardt, Ahmed 2008",
    ),
    Metric(
        "SD", "Standard deviation", contrast.sd, "fused", "higher", "grey levels", (0, 127.5), None, 1, True,
        "√mean((F − mean F)²)",
        "Rao 1997",
    ),
    Metric(
        "SF", "Spatial frequency", contrast.sf, "fused", "higher", "grey levels", (0, 361), None, 2, True,
        "√(mean dx² + mean dy²)",
        "Eskicioglu, Fisher 1995",
    ),
    Metric(
        "AG", "Average gradient", contrast.ag, "fused", "higher", "grey levels", (0, 255), None, 2, True,
        "mean √((gx² + gy²) / 2)",
        "Cui et al. 2015",
    ),
    Metric(
        "EI", "Edge intensity", contrast.ei, "fused", "higher", "grey levels", (0, 1141), None, 1, True,
        "mean √(sx² + sy²), s: Sobel",
        "Rajalingam, Priya 2018",
    ),
    Metric(
        "MI", "Mutual information", information.mutual_information, "all", "higher", "nat", (0, 11.1), None, 1, False,
        "Σ_S I(F; S)",
        "Qu, Zhang, Yan 2002",
    ),
    Metric(
        "NMI", "Normalised mutual information", information.normalized_mutual_information, "all", "higher", "",
        (0, 2), 2, 1, False,
        "Σ_S 2 I(F; S) / (H(F) + H(S))",
        "Hossny, Nahavandi, Creighton 2008",
    ),
    Metric(
        "CE", "Cross entropy", information.cross_entropy, "all", "lower", "bit", (-0.54, INF), 0, 1, False,
        "mean_S Σ p_S log2(p_S / p_F)",
        "Bulanon, Burks, Alchanatis 2009",
    ),
    Metric(
        "PSNR", "Peak signal-to-noise ratio", correlation.psnr, "all", "higher", "dB", (-48.2, INF), INF, 1, False,
        "10 log10(max(F)² / MSE)",
        "Jagalingam, Hegde 2015",
    ),
    Metric(
        "MSE", "Mean squared error", correlation.mse, "all", "lower", "squared grey levels", (0, 65025), 0, 1, True,
        "mean_S mean((F − S)²)",
        "Jagalingam, Hegde 2015",
    ),
    Metric(
        "RMSE", "Root mean squared error", correlation.rmse, "all", "lower", "grey levels", (0, 255), 0, 1, True,
        "mean_S √mean((F − S)²)",
        "Jagalingam, Hegde 2015",
    ),
    Metric(
        "CC", "Correlation coefficient", correlation.cc, "all", "higher", "", (-1, 1), 1, 1, True,
        "mean_S r(F, S)",
        "Deshmukh, Bhosale 2010",
    ),
    Metric(
        "SCD", "Sum of the correlations of differences", correlation.scd, "all", "higher", "", (-2, 2), 0, 1, True,
        "r(A, F − B) + r(B, F − A)",
        "Aslantas, Bendes 2015",
    ),
    Metric(
        "VIF", "Visual information fidelity", fidelity.vif, "all", "higher", "", (0, INF), 2, 41, True,
        "Σ_S [Σ ln(1 + g² σ_S² / (σ_V² + 2)) / Σ ln(1 + σ_S² / 2)]",
        "Sheikh, Bovik 2006, in the pixel domain",
    ),
    Metric(
        "Qabf", "Edge preservation", gradients.qabf, "all", "higher", "", (0, gradients.BEST), gradients.BEST, 1, True,
        "Σ_S Σ Q_SF g_S / Σ_S Σ g_S",
        "Xydeas, Petrović 2000",
    ),
    Metric(
        "Nabf", "Fusion artefacts", gradients.nabf, "all", "lower", "", (0, 1), 0, 1, True,
        "Σ_S Σ m (1 − Q_SF) w_S / Σ_S Σ w_S, m: g_F > g_A, g_B",
        "Petrović, Xydeas 2005, modified by Kumar 2013",
    ),
    Metric(
        "SSIM", "Structural similarity", structure.ssim, "all", "higher", "", (-2, 2), 2, 7, True,
        "Σ_S mean[(2 μ_F μ_S + c1)(2 σ_FS + c2) / ((μ_F² + μ_S² + c1)(σ_F² + σ_S² + c2))]",
        "Wang, Bovik, Sheikh, Simoncelli 2004, eq. 13",
    ),
    Metric(
        "MS-SSIM", "Multi-scale structural similarity", structure.ms_ssim, "all", "higher", "", (0, 1), 1, 176, True,
        "mean_S l_M^β_M Π_j cs_j^β_j",
        "Wang, Simoncelli, Bovik 2003, eq. 7",
    ),
    Metric(
        "QCB", "Chen-Blum metric", perception.qcb, "all", "higher", "", (0, 1), 1, 1, False,
        "mean(λ_A Q_AF + λ_B Q_BF)",
        "Chen, Blum 2009",
    ),
    Metric(
        "QCV", "Chen-Varshney metric", perception.qcv, "all", "lower", "squared grey levels", (0, INF), 0, 1, False,
        "Σ_S Σ λ_S D_S / Σ_S Σ λ_S",
        "Chen, Varshney 2007",
    ),
    Metric(
        "QY", "Yang's similarity metric", weighted.qy, "all", "higher", "", (-1, 1), 1, 7, False,
        "mean(λ SSIM_AF + (1 − λ) SSIM_BF), or the larger where SSIM_AB < 0.75",
        "Yang, Zhang, Wang, Li 2008",
    ),
    Metric(
        "QP", "Phase congruency metric", phase.qp, "all", "higher", "", (-1, 1), 1, 16, False,
        "P_p P_M P_m",
        "Zhao, Laganière, Liu 2007",
    ),
    Metric(
        "QM", "Wavelet metric", wavelet.qm, "all", "higher", "", (0, 1), 1, 4, False,
        "Π_s (Σ_S Σ E_s w_s / Σ_S Σ w_s)^α_s",
        "Wang, Liu 2008",
    ),
    Metric(
        "Qw", "Piella's weighted index", weighted.qw, "all", "higher", "", (-1, 1), 1, 8, False,
        "Σ c (λ Q_AF + (1 − λ) Q_BF)",
        "Piella, Heijmans 2003",
    ),
    Metric(
        "Qe", "Piella's edge-dependent index", weighted.qe, "all", "higher", "", (-1, 1), 1, 8, False,
        "Qw(A, B, F) Qw(A', B', F')",
        "Piella, Heijmans 2003",
    ),
    *(
        Metric(
            f"FMI_{feature}", f"Feature mutual information ({feature})", partial(features.fmi, feature=feature),
            "all", "higher", "", (0, 1), 1, 4, False,
            "mean_S mean[2 I(F_w; S_w) / (H(F_w) + H(S_w))]",
            "Haghighat, Aghagolzadeh, Seyedarabi 2011",
        )
        for feature in features.FEATURES
    ),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}
"""Every metric by its short name."""
