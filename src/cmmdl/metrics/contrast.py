"""How lively the fused picture is by itself: SD, SF, AG, EI. No reference picture enters."""

from __future__ import annotations

from torch import Tensor, cat
from torch.nn.functional import pad

from cmmdl.metrics.border import grey_levels
from cmmdl.metrics.windows import per_picture, safe_sqrt, separable

SMOOTH, STEP = (1.0, 2.0, 1.0), (-1.0, 0.0, 1.0)


def sobel(levels: Tensor, border: str) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical 3x3 Sobel differences ``(B, 1, H, W)``; ``border`` is a mode of ``torch`` padding."""
    return inner_sobel(pad(levels, (1, 1, 1, 1), border))


def inner_sobel(levels: Tensor) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical 3x3 Sobel differences of all but the outermost pixels, ``(B, C, H - 2, W - 2)``."""
    return separable(levels, SMOOTH, STEP), separable(levels, STEP, SMOOTH)


def central_difference(levels: Tensor, dim: int) -> Tensor:
    """Central differences along one axis, one-sided at both ends (as ``numpy.gradient``)."""
    n = levels.shape[dim]
    inner = (levels.narrow(dim, 2, n - 2) - levels.narrow(dim, 0, n - 2)) / 2
    first = levels.narrow(dim, 1, 1) - levels.narrow(dim, 0, 1)
    last = levels.narrow(dim, n - 1, 1) - levels.narrow(dim, n - 2, 1)
    return cat((first, inner, last), dim)


def sd(fused: Tensor) -> Tensor:
    """Standard deviation (SD): the global contrast, in grey levels.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1].

    Returns:
        ``(B,)`` from 0 to 127.5; higher is better. Population standard deviation. Differentiable; the gradient of a
        constant picture is 0.

    Raises:
        ValueError: If shape or range is wrong.

    Reference: Rao. In-fibre Bragg grating sensors. Measurement Science and Technology, 1997 (as cited by VIFB).
    """
    (levels,) = grey_levels(fused)
    return safe_sqrt(levels.flatten(1).var(1, correction=0))


def sf(fused: Tensor) -> Tensor:
    """Spatial frequency (SF): root mean square of neighbour differences, in grey levels.

    Rows and columns are averaged over their own number of differences, H(W-1) and (H-1)W.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1], at least 2x2.

    Returns:
        ``(B,)`` from 0 to 361; higher is better. Differentiable.

    Raises:
        ValueError: If shape, size or range is wrong.

    Reference: Eskicioglu, Fisher. Image quality measures and their performance. IEEE Trans. Communications, 1995.
    """
    (levels,) = grey_levels(fused, smallest=2)
    return safe_sqrt(per_picture(levels.diff(dim=-1) ** 2) + per_picture(levels.diff(dim=-2) ** 2))


def ag(fused: Tensor) -> Tensor:
    """Average gradient (AG): mean of sqrt((gx² + gy²) / 2), in grey levels.

    Central differences, one-sided at the border.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1], at least 2x2.

    Returns:
        ``(B,)`` from 0 to 255; higher is better. Differentiable.

    Raises:
        ValueError: If shape, size or range is wrong.

    Reference: Cui, Feng, Xu, Li, Chen. Detail preserved fusion of visible and infrared images using regional saliency
    extraction and multi-scale image decomposition. Optics Communications, 2015.
    """
    (levels,) = grey_levels(fused, smallest=2)
    return per_picture(safe_sqrt((central_difference(levels, -1) ** 2 + central_difference(levels, -2) ** 2) / 2))


def ei(fused: Tensor) -> Tensor:
    """Edge intensity (EI): mean magnitude of the 3x3 Sobel gradient with replicated border, in grey levels.

    Args:
        fused: ``(B, 1, H, W)``, values in [0, 1].

    Returns:
        ``(B,)`` from 0 to 1141; higher is better. Differentiable.

    Raises:
        ValueError: If shape or range is wrong.

    Reference: Rajalingam, Priya. Hybrid multimodality medical image fusion technique for feature enhancement in medical
    diagnosis. Int. Journal of Engineering Science Invention, 2018.
    """
    (levels,) = grey_levels(fused)
    gx, gy = sobel(levels, "replicate")
    return per_picture(safe_sqrt(gx**2 + gy**2))
