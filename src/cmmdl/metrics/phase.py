"""Phase congruency, a measure of features that contrast does not change, and the metric QP on it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.fft import fft2, fftfreq, ifft2

from cmmdl.metrics.border import grey_levels
from cmmdl.metrics.windows import gaussian, safe_ratio, smooth

SCALES, ORIENTATIONS = 4, 6
SHORTEST, GROWTH, BANDWIDTH = 3.0, 2.1, 0.55
"""Wavelength of the finest log-Gabor filter in pixels, the ratio of each to the next, and σ of each over its centre."""
NOISE_SIGMAS, SPREAD_CUT, SPREAD_GAIN, TINY = 2.0, 0.5, 10.0, 1e-4


def phase_congruency(levels: Tensor) -> Tensor:
    """Phase congruency of pictures and the principal moments of it over orientations.

    Four scales and six orientations of log-Gabor filters, periodic border; the noise level is taken from the median
    response of the finest scale.

    Args:
        levels: ``(B, 1, H, W)`` in grey levels.

    Returns:
        ``(B, 3, H, W)``: phase congruency, its maximum moment (edges) and its minimum moment (corners).

    Reference: Kovesi. Image features from phase congruency. Videre, 1999; Phase congruency detects corners and edges.
    DICTA, 2003.
    """
    spectrum = fft2(levels)
    radial, theta = _radial_filters(levels)
    energy_sum = amplitude_sum = torch.zeros_like(levels)
    directed = []
    for orientation in range(ORIENTATIONS):
        angle = orientation * math.pi / ORIENTATIONS
        energy, amplitude = _oriented(spectrum, radial * _angular_filter(theta, angle))
        energy_sum, amplitude_sum = energy_sum + energy, amplitude_sum + amplitude
        congruency = energy / (amplitude + TINY)
        directed.append((congruency * math.cos(angle), congruency * math.sin(angle)))
    x, y = (torch.cat(parts, 1) for parts in zip(*directed, strict=True))
    xx, yy, xy = (z.mean(1, keepdim=True) * k for z, k in ((x**2, 2), (y**2, 2), (x * y, 4)))
    spread = torch.hypot(xy, xx - yy)
    return torch.cat((energy_sum / (amplitude_sum + TINY), (xx + yy + spread) / 2, (xx + yy - spread) / 2), 1)


def _radial_filters(levels: Tensor) -> tuple[Tensor, Tensor]:
    """Log-Gabor filters over frequency, ``(SCALES, H, W)``, and the angle of each frequency, ``(H, W)``."""
    h, w = levels.shape[-2:]
    fy, fx = fftfreq(h, dtype=levels.dtype).unsqueeze(1), fftfreq(w, dtype=levels.dtype).unsqueeze(0)
    radius = torch.hypot(fx, fy)
    radius[0, 0] = 1
    centres = 1 / (SHORTEST * GROWTH ** torch.arange(SCALES, dtype=levels.dtype)).view(-1, 1, 1)
    filters = torch.exp(-((radius / centres).log() ** 2) / (2 * math.log(BANDWIDTH) ** 2))
    filters = filters / (1 + (radius / 0.45) ** 30)  # no response in the corners of the spectrum
    filters[:, 0, 0] = 0
    return filters.to(levels.device), torch.atan2(-fy, fx).to(levels.device)


def _angular_filter(theta: Tensor, angle: float) -> Tensor:
    """A raised cosine around ``angle``, on one half of the spectrum only, so that responses are quadrature pairs."""
    distance = torch.atan2(torch.sin(theta - angle), torch.cos(theta - angle)).abs()
    return (1 + torch.cos((distance * ORIENTATIONS / 2).clamp_max(math.pi))) / 2


def _oriented(spectrum: Tensor, filters: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted phase energy above the noise, and amplitude, summed over scales: ``(B, 1, H, W)`` each."""
    response = ifft2(spectrum * filters)
    amplitude = response.abs()
    total = amplitude.sum(1, keepdim=True)
    mean = response.sum(1, keepdim=True)
    mean = mean / (mean.abs() + TINY)
    aligned = response * mean.conj()
    energy = (aligned.real - aligned.imag.abs()).sum(1, keepdim=True)
    tau = amplitude[:, :1].flatten(2).median(2, keepdim=True).values.unsqueeze(3) / math.sqrt(math.log(4))
    tau = tau * (1 - GROWTH**-SCALES) / (1 - 1 / GROWTH)
    noise = tau * (math.sqrt(math.pi / 2) + NOISE_SIGMAS * math.sqrt((4 - math.pi) / 2))
    width = (total / (amplitude.amax(1, keepdim=True) + TINY) - 1) / (SCALES - 1)
    return torch.sigmoid(SPREAD_GAIN * (width - SPREAD_CUT)) * (energy - noise).clamp_min(0), total


def qp(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Phase congruency metric (QP): features of the sources, or of the stronger of both, found again.

    Phase congruency and its two moments are each correlated in 11x11 Gaussian windows (σ 1.5, valid area) with those of
    either source and with the larger of both; the best of the three counts, averaged over windows around features
    (larger phase congruency above 0.1); the three averages are multiplied. Two flat windows correlate with 1, a flat
    one with 0 to another (the constant of the paper's ratio gives a constant fused picture the ideal value). Pictures
    without features count as 1.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1], at least 16x16.
        ir: Same shape and range.
        vis: Same shape and range.

    Returns:
        ``(B,)`` from -1 to 1; higher is better.

    Raises:
        ValueError: If shape, size or range is wrong.

    Reference: Zhao, Laganière, Liu. Performance assessment of combinative pixel-level image fusion based on an absolute
    feature measurement. Int. Journal of Innovative Computing, Information and Control, 2007: Q_P = P_p P_M P_m.
    """
    found, a, b = (phase_congruency(x) for x in grey_levels(fused, ir, vis, smallest=16))
    stronger = torch.maximum(a, b)
    best = torch.stack([_local_correlation(x, found) for x in (a, b, stronger)]).amax(0)
    feature = (stronger[:, :1, 5:-5, 5:-5] > 0.1).to(best.dtype)
    return safe_ratio((best * feature).sum((2, 3)), feature.sum((2, 3)), 1.0).prod(1)


def _local_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Correlation in windows; 1 where both are flat, 0 where one is."""
    taps = gaussian(11, 1.5)
    mean_a, mean_b = smooth(a, taps), smooth(b, taps)
    var_a, var_b = smooth(a**2, taps) - mean_a**2, smooth(b**2, taps) - mean_b**2
    textured_a, textured_b = var_a > TINY**2, var_b > TINY**2
    product = torch.where(textured_a & textured_b, var_a * var_b, 1.0)
    correlation = (smooth(a * b, taps) - mean_a * mean_b) / product.sqrt()
    return torch.where(textured_a & textured_b, correlation, (textured_a == textured_b).to(a.dtype))
