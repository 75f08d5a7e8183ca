"""Feature mutual information (FMI): how much a fused picture's features tell of the sources' in small windows."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from cmmdl.metrics.border import grey_levels
from cmmdl.metrics.contrast import central_difference
from cmmdl.metrics.information import nats
from cmmdl.metrics.wavelet import haar
from cmmdl.metrics.windows import safe_ratio, safe_sqrt

CHUNK = 1 << 14
"""Windows taken together: their joint distributions of 81 entries then fit a cache."""


def _gradient(levels: Tensor) -> Tensor:
    return safe_sqrt(central_difference(levels, -1) ** 2 + central_difference(levels, -2) ** 2)


def _wavelet(levels: Tensor) -> Tensor:
    """Means and details of one Haar level, laid out as one picture."""
    means, details = haar(levels)
    across, down, diagonal = details.unbind(2)
    return torch.cat((torch.cat((means, across), 3), torch.cat((down, diagonal), 3)), 2)


def _dct(levels: Tensor) -> Tensor:
    """Orthonormal discrete cosine transform of the whole picture."""
    for dim in (2, 3):
        n = levels.shape[dim]
        place = torch.arange(n, dtype=levels.dtype, device=levels.device)
        basis = torch.cos(math.pi / n * place.unsqueeze(1) * (place + 0.5)) * math.sqrt(2 / n)
        basis[0] /= math.sqrt(2)
        levels = (basis @ levels) if dim == 2 else (levels @ basis.T)
    return levels


FEATURES: dict[str, Callable[[Tensor], Tensor]] = {
    "pixel": lambda levels: levels,
    "gradient": _gradient,
    "wavelet": _wavelet,
    "dct": _dct,
}


def fmi(fused: Tensor, ir: Tensor, vis: Tensor, *, feature: str = "pixel") -> Tensor:
    """Feature mutual information (FMI) in 3x3 windows, mean of both sources.

    In each window (valid area, read column by column) the features, less the least and over their sum, are taken for a
    distribution. The joint distribution of two windows is the mixture of their independent and their Fréchet
    bound distributions that has the correlation of the windows (limited to that of the bound); its mutual information
    is divided by the mean entropy. Equal windows count as 1.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1], at least 4x4.
        ir: Same shape and range.
        vis: Same shape and range.
        feature: ``pixel``; ``gradient``, the magnitude of central differences; ``wavelet``, one Haar level laid out as
            one picture; or ``dct``, the cosine transform of the whole picture.

    Returns:
        ``(B,)`` from 0 to 1; higher is better.

    Raises:
        ValueError: If shape, size, range or feature is wrong.

    Reference: Haghighat, Aghagolzadeh, Seyedarabi. A non-reference image fusion metric based on mutual information of
    image features. Computers and Electrical Engineering, 2011; windows as in Haghighat, Razian.
    Fast-FMI. AICT, 2014.
    """
    if feature not in FEATURES:
        raise ValueError(f"feature must be one of {', '.join(FEATURES)}, not {feature!r}")
    levels, *sources = (_windows(FEATURES[feature](x)) for x in grey_levels(fused, ir, vis, smallest=4))
    first, second = (_information(source, levels) for source in sources)
    return (first + second) / 2


def _windows(x: Tensor) -> Tensor:
    """All 3x3 windows of ``(B, 1, H, W)``, read column by column: ``(B, (H - 2)(W - 2), 9)``."""
    return x[:, 0].unfold(1, 3, 1).unfold(2, 3, 1).transpose(3, 4).flatten(3).flatten(1, 2)


def _information(a: Tensor, b: Tensor) -> Tensor:
    """Mean over windows ``(B, N, 9)`` of the normalised mutual information: ``(B,)``."""
    chunks = zip(a.flatten(0, 1).split(CHUNK), b.flatten(0, 1).split(CHUNK), strict=True)
    return torch.cat([_normalized(*chunk) for chunk in chunks]).view(len(a), -1).mean(1)


def _distribution(window: Tensor) -> Tensor:
    """Values above the least one over their sum; uniform where all are equal: ``(N, 9)``."""
    above = window - window.amin(1, keepdim=True)
    return safe_ratio(above, above.sum(1, keepdim=True), 1 / 9)


def _normalized(a: Tensor, b: Tensor) -> Tensor:
    p, q = _distribution(a), _distribution(b)
    joint = _joint(p, q)
    entropies = nats(p) + nats(q)
    shared = safe_ratio(2 * (entropies - nats(joint)), entropies, 0.0)
    return torch.where((a == b).all(1), 1.0, shared)


def _joint(p: Tensor, q: Tensor) -> Tensor:
    """Joint distribution ``(N, 9, 9)`` with marginals ``p`` and ``q`` and, as far as possible, their correlation."""
    correlation = _correlation(p, q)
    cdf_p, cdf_q = p.cumsum(1).unsqueeze(2), q.cumsum(1).unsqueeze(1)
    positive = (correlation >= 0).view(-1, 1, 1)
    bound = torch.where(positive, torch.minimum(cdf_p, cdf_q), (cdf_p + cdf_q - 1).clamp_min(0))
    covariance = (bound - cdf_p * cdf_q).sum((1, 2))
    reachable = safe_ratio(covariance, _deviation(p) * _deviation(q), 0.0)
    share = safe_ratio(correlation, reachable, 0.0).clamp(0, 1).view(-1, 1, 1)
    mass = pad(bound, (1, 0, 1, 0)).diff(dim=1).diff(dim=2).clamp_min(0)
    return share * mass + (1 - share) * p.unsqueeze(2) * q.unsqueeze(1)


def _correlation(p: Tensor, q: Tensor) -> Tensor:
    p, q = p - 1 / 9, q - 1 / 9
    return safe_ratio((p * q).sum(1), safe_sqrt((p**2).sum(1) * (q**2).sum(1)), 0.0)


def _deviation(p: Tensor) -> Tensor:
    """Standard deviation of the place 0..8 under distributions ``(N, 9)``."""
    place = torch.arange(9, dtype=p.dtype, device=p.device)
    return safe_sqrt(((place - (p * place).sum(1, keepdim=True)) ** 2 * p).sum(1))
