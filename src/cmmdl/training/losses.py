"""What a fused picture is trained for: one function a term, and their weighted sum.

Every term takes ``(fused, ir, vis)`` as ``(B, 1, H, W)`` floats in [0, 1] and returns ``(B,)``: one number a picture,
lower is better, differentiable in ``fused``. The mean over processes is therefore the mean over the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from cmmdl import metrics
from cmmdl.metrics.contrast import SMOOTH, STEP
from cmmdl.metrics.correlation import correlation
from cmmdl.metrics.windows import gaussian, less, separable, smooth

SPREAD = {"ssim": 0.1, "qabf": 0.08, "vif": 0.12, "scd": 0.2, "mi": 0.6, "en": 0.5, "sd": 0.2, "sf": 0.2}
"""How far published methods lie apart in each metric (SD and SF: in the logarithm): one unit of the metric terms."""

TAUGHT = "taught"
"""The term that compares with what another network makes of the same sources."""

FINE = "ssim_fine"
"""The metric term of SSIM as some evaluators compute it, with constants for a range of 2 grey levels."""

BRIGHTNESS = "brightness"
"""The term whose target is a share of the way to the brighter source."""

TARGETS = {"ssim": 2.0, FINE: 2.0, "qabf": 1.0, "vif": 2.0, "scd": 2.0, "mi": 4.0, "en": 0.0, "sd": 0.0, "sf": 0.0}
"""Where each metric term stops pulling: a value of the metric, for EN, SD and SF a margin over the better source."""


def sobel(image: Tensor, *, padding: int = 1) -> Tensor:
    """Horizontal and vertical derivative with the plain 1-2-1 kernel, not normalised.

    Args:
        image: ``(B, 1, H, W)``.
        padding: Zeros around the image; 1 keeps the size, 0 leaves the valid area ``(H - 2, W - 2)``.

    Returns:
        ``(B, 2, H, W)``: d/dx and d/dy.
    """
    padded = F.pad(image, 4 * (padding,))
    return torch.cat([separable(padded, SMOOTH, STEP), separable(padded, STEP, SMOOTH)], 1)


def saliency(ir: Tensor, vis: Tensor) -> Tensor:
    """Where the infrared picture has the larger local variance: ``(B, 1, H, W)`` bool.

    The variance is of a 9x9 Gaussian window, sigma 1.5, zeros outside the picture; equal variances count as visible.
    """
    taps = gaussian(9, 1.5)

    def variance(x: Tensor) -> Tensor:
        padded = F.pad(x, (4, 4, 4, 4))
        return smooth(padded * padded, taps) - smooth(padded, taps) ** 2

    return variance(ir) > variance(vis)


def intensity(fused: Tensor, ir: Tensor, vis: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Squared distance to the source that is locally the more salient one, smoothed over 9x9.

    Args:
        fused: ``(B, 1, H, W)`` in [0, 1].
        ir: Same shape and range.
        vis: Same shape and range.
        mask: ``(B, 1, H, W)``; where it is above 0.5 infrared is meant, whatever the variances say.

    Returns:
        ``(B,)``, not below 0.

    Reference: the intensity term of CMMDL as its authors released it.
    """
    salient = saliency(ir, vis)
    if mask is not None:
        salient = salient | (mask > 0.5)
    to_ir = F.avg_pool2d((ir - fused) ** 2, 9, stride=1, padding=4)
    to_vis = F.avg_pool2d((vis - fused) ** 2, 9, stride=1, padding=4)
    return torch.where(salient, to_ir, to_vis).flatten(1).mean(1)


def gradient(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Distance of the gradient magnitude to the larger one of the sources'.

    The magnitude is ``|d/dx| + |d/dy|``. It does not know signs: alone, or with a large weight, it can be served by a
    photographic negative. ``gradient_signed`` cannot.

    Returns:
        ``(B,)``, not below 0.

    Reference: the gradient term of CMMDL as its authors released it, where its weight is 5.
    """
    strength_fused, strength_ir, strength_vis = (sobel(x).abs().sum(1) for x in (fused, ir, vis))
    return (strength_fused - torch.maximum(strength_ir, strength_vis)).abs().flatten(1).mean(1)


def gradient_signed(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Distance of the gradient to that of the source whose gradient is larger, direction by direction, sign kept.

    Taken over the valid area, so that the frame is no edge.

    Returns:
        ``(B,)``, not below 0.
    """
    of_fused, of_ir, of_vis = sobel(torch.cat([fused, ir, vis]), padding=0).chunk(3)
    target = torch.where(of_ir.abs() > of_vis.abs(), of_ir, of_vis)
    return (of_fused - target).abs().sum(1).flatten(1).mean(1)


def gradient_coarse(fused: Tensor, ir: Tensor, vis: Tensor, *, scale: int = 4) -> Tensor:
    """`gradient_signed` of the pictures averaged over blocks of ``scale`` x ``scale`` pixels.

    Speaks for the outline of a whole object, such as a person behind smoke, which no single pixel's gradient shows.

    Returns:
        ``(B,)``, not below 0.
    """
    return gradient_signed(*(F.avg_pool2d(x, scale, ceil_mode=True) for x in (fused, ir, vis)))


def rims(
    fused: Tensor, ir: Tensor, vis: Tensor, *, sizes: tuple[int, ...] = (3, 7), gain: float = 1.5, slack: int = 3
) -> Tensor:
    """Thin lines and dots, bright or dark, that neither source has: rims along edges, chess boards, sparks.

    Measured by top-hats: how far a closing (opening) with a square lifts (lowers) the picture, which is 0 at steps,
    slopes and everything wider than the square. What exceeds ``gain`` times the larger top-hat of both sources nearby
    counts; a plain increase of contrast by ``gain`` is free.

    Args:
        fused: ``(B, 1, H, W)`` in [0, 1].
        ir: Same shape and range.
        vis: Same shape and range.
        sizes: Sides of the squares in pixels, odd.
        gain: Allowed amplification.
        slack: Side of the square in which the sources' top-hats are looked up, odd.

    Returns:
        ``(B,)``, not below 0.

    Reference: Meyer's top-hat; Serra, Image analysis and mathematical morphology, 1982, chapter XII.
    """

    def dilate(x: Tensor, size: int) -> Tensor:
        x = F.max_pool2d(x, (size, 1), stride=1, padding=(size // 2, 0))
        return F.max_pool2d(x, (1, size), stride=1, padding=(0, size // 2))

    def dark(x: Tensor, size: int) -> Tensor:
        return -dilate(-dilate(x, size), size) - x

    both = torch.cat([fused, -fused], 1)  # the bright lines of a picture are the dark ones of its negative
    sources = torch.cat([torch.cat([x, -x], 1) for x in (ir, vis)])
    excess = fused.new_zeros(len(fused))
    for size in sizes:
        allowed = gain * dilate(torch.maximum(*dark(sources, size).chunk(2)), slack)
        excess = excess + F.relu(dark(both, size) - allowed).sum(1).flatten(1).mean(1)
    return excess


def intensity_max(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Absolute distance to the brighter of both sources, pixel by pixel: warm targets and bright skies stay bright.

    Returns:
        ``(B,)``, not below 0.

    Reference: Tang, Yuan, Ma. Image fusion in the loop of high-level vision tasks. Information Fusion 82, 2022,
    equation 5.
    """
    return (fused - torch.maximum(ir, vis)).abs().flatten(1).mean(1)


def brightness(fused: Tensor, ir: Tensor, vis: Tensor, *, scale: int = 8, share: float = 1.0) -> Tensor:
    """How far blocks of ``scale`` x ``scale`` pixels are darker on average than the brighter source.

    Unlike `intensity_max` it leaves the structure inside a block to the other terms: what is active in a smooth PET
    picture lifts the detail of the MRI instead of replacing it.

    Args:
        fused: ``(B, 1, H, W)`` in [0, 1].
        ir: Same shape and range.
        vis: Same shape and range.
        scale: Side of the blocks in pixels.
        share: Of the way from ``ir`` to the brighter source that is asked for.

    Returns:
        ``(B,)``, not below 0.
    """
    target = torch.maximum(ir, vis) if share == 1 else ir + share * F.relu(vis - ir)
    target, mean = (F.avg_pool2d(x, scale, ceil_mode=True) for x in (target, fused))
    return F.relu(target - mean).flatten(1).mean(1)


def overshoot(fused: Tensor, ir: Tensor, vis: Tensor, *, scale: int = 4) -> Tensor:
    """How far blocks of ``scale`` x ``scale`` pixels lie on average outside the interval between both sources.

    A warm body that is bright in infrared need not be white, a dark sky not black: contrast beyond both sources belongs
    to the detail.

    Returns:
        ``(B,)``, not below 0.
    """
    mean, of_ir, of_vis = (F.avg_pool2d(x, scale, ceil_mode=True) for x in (fused, ir, vis))
    outside = F.relu(mean - torch.maximum(of_ir, of_vis)) + F.relu(torch.minimum(of_ir, of_vis) - mean)
    return outside.flatten(1).mean(1)


def halos(
    fused: Tensor, ir: Tensor, vis: Tensor, *, scales: tuple[int, ...] = (4, 8, 16), gain: float = 1.25
) -> Tensor:
    """Wide seams and shades that neither source has: gradients between blocks of pixels that no source explains.

    Per direction a gradient may have any value from 0 to ``gain`` times the larger one of the sources' in its own
    sense. A sky that is even in both sources has to stay even, also beside a bright building.

    Args:
        fused: ``(B, 1, H, W)`` in [0, 1].
        ir: Same shape and range.
        vis: Same shape and range.
        scales: Sides of the blocks in pixels; those of which a picture has less than three a side are left out.
        gain: Allowed amplification.

    Returns:
        ``(B,)``, not below 0.
    """
    pictures, total = torch.cat([fused, ir, vis]), fused.new_zeros(len(fused))
    for scale in (scale for scale in scales if -(-min(fused.shape[-2:]) // scale) >= 3):
        g, of_ir, of_vis = sobel(F.avg_pool2d(pictures, scale, ceil_mode=True), padding=0).chunk(3)
        most = gain * F.relu(torch.maximum(of_ir, of_vis))
        least = gain * F.relu(-torch.minimum(of_ir, of_vis))
        total = total + (F.relu(g - most) + F.relu(-g - least)).sum(1).flatten(1).mean(1)
    return total


def even(fused: Tensor, ir: Tensor, vis: Tensor, *, scale: int = 8, flat: float = 0.03, near: float = 0.02) -> Tensor:
    """How unlike places become that look alike: the levels of flat blocks, whatever stands beside them.

    Where both sources are flat, a result that depends on their levels alone has no seams and no glow, at any distance
    from a building. Each block of ``scale`` x ``scale`` pixels is compared with the mean of all blocks of the picture
    that are as bright in both sources.

    Args:
        fused: ``(B, 1, H, W)`` in [0, 1]; sides of at least ``scale``.
        ir: Same shape and range.
        vis: Same shape and range.
        scale: Side of the blocks in pixels; what is left over at the right and lower border does not count.
        flat: Standard deviation within a block, of both sources together, at which it counts 1/e.
        near: Difference of levels at which a block counts exp(-1/2) in the mean of another.

    Returns:
        ``(B,)``, not below 0.

    Reference: the weights in the mean are those of a bilateral filter (Tomasi, Manduchi, ICCV 1998), of both sources
    and without distance.
    """
    sources = torch.cat([ir, vis], 1)
    mean, square = F.avg_pool2d(torch.cat([sources, sources**2], 1), scale).flatten(2).chunk(2, 1)
    weight = torch.exp(-less(square, mean, mean).clamp_min(0).sum(1) / flat**2)
    apart = ((mean[..., None] - mean[..., None, :]) / near).square().sum(1)
    alike = torch.exp(-apart / 2) * weight[:, None]
    own = F.avg_pool2d(fused, scale).flatten(1)
    usual = (alike @ own[..., None]).squeeze(-1) / alike.sum(-1).clamp_min(1e-6)
    return (weight * (own - usual).abs()).mean(1)


def grain(fused: Tensor, ir: Tensor, vis: Tensor, *, size: int = 5, flat: float = 0.04) -> Tensor:
    """How much more a picture varies within small windows than the sources do, where both are nearly flat.

    There what varies is noise, in night skies above all. Amplified it serves most metrics.

    Args:
        fused: ``(B, 1, H, W)`` in [0, 1].
        ir: Same shape and range.
        vis: Same shape and range.
        size: Side of the windows in pixels.
        flat: Standard deviation at which a window counts 1/e; smaller ones count more.

    Returns:
        ``(B,)``, not below 0.
    """
    pictures = torch.cat([fused, ir, vis])
    mean, square = F.avg_pool2d(torch.cat([pictures, pictures**2], 1), size, stride=1).chunk(2, 1)
    deviation, of_ir, of_vis = (less(square, mean, mean).clamp_min(0) + 1e-6).sqrt().chunk(3)
    given = torch.maximum(of_ir, of_vis)
    excess = F.relu(deviation - given) * torch.exp(-((given / flat) ** 2))
    return excess.flatten(1).mean(1)


def black(fused: Tensor, ir: Tensor, vis: Tensor, *, level: float = 2 / 255) -> Tensor:
    """How bright pixels are that are black in both sources: the empty background of a medical picture stays empty.

    Args:
        fused: ``(B, 1, H, W)`` in [0, 1].
        ir: Same shape and range.
        vis: Same shape and range.
        level: Up to here a pixel is black.

    Returns:
        ``(B,)``, not below 0: what exceeds the level, averaged over all pixels.
    """
    empty = torch.maximum(ir, vis) <= level
    return (F.relu(fused - level) * empty).flatten(1).mean(1)


def balance(fused: Tensor, ir: Tensor, vis: Tensor, *, least: float = 0.5) -> Tensor:
    """How far the correlation with either source falls short of ``least``, summed over both.

    Structure metrics can be served by a copy of the source that has more contrast; this term speaks for the other.
    Between two sources of correlation r, a picture exists that correlates with both by sqrt((1 + r) / 2).

    Returns:
        ``(B,)``, from 0 to ``2 + 2 least``.
    """
    short = (F.relu(least - correlation(fused * 255, source * 255)) for source in (ir, vis))
    return sum(short, start=fused.new_zeros(len(fused)))


def frame(fused: Tensor, ir: Tensor, vis: Tensor, *, width: int = 4) -> Tensor:
    """How far the outermost pixels lie outside the interval between both sources, averaged over that frame.

    Padding tells a network where the border is, and most metrics leave it out: what is drawn there, a bright line or a
    black and a white corner that widen the range of the picture, costs nothing without this term.

    Args:
        fused: ``(B, 1, H, W)`` in [0, 1].
        ir: Same shape and range.
        vis: Same shape and range.
        width: Of the frame in pixels, at least 1.

    Returns:
        ``(B,)``, not below 0.
    """
    outside = F.relu(torch.minimum(ir, vis) - fused) + F.relu(fused - torch.maximum(ir, vis))
    ring = torch.ones_like(outside[:1])
    ring[..., width:-width, width:-width] = 0
    return (outside * ring).flatten(1).sum(1) / ring.sum()


def clip(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """How far the fused values lie outside [0, 1]: ``(B,)``; zero for a network that ends in a sigmoid."""
    return (F.relu(-fused) + F.relu(fused - 1)).flatten(1).mean(1)


def taught(fused: Tensor, by: Tensor) -> Tensor:
    """Squared distance to what another network makes of the same sources, and half that of steps between neighbours.

    Levels alone would let fine detail go, which is a small part of them.

    Args:
        fused: ``(B, 1, H, W)``.
        by: What the other network made, of the same shape.

    Returns:
        ``(B,)``, not below 0.

    Reference: Hinton, Vinyals, Dean. Distilling the knowledge in a neural network. 2015, for the idea.
    """
    apart = fused - by
    steps = sum(apart.diff(dim=side).square().flatten(1).mean(1) for side in (-1, -2))
    return apart.square().flatten(1).mean(1) + steps / 2


def _level_of(name: str) -> Callable[[Tensor], Tensor]:
    """The measure of one picture behind a term: entropy in bits, or the logarithm of SD or SF (0..255 scale)."""
    if name == "en":
        return metrics.soft_entropy
    measure = getattr(metrics, name)
    return lambda image: torch.log1p(measure(image))


def metric_term(
    name: str, fused: Tensor, ir: Tensor, vis: Tensor, *, target: float | None = None, mi_bins: int = 32
) -> Tensor:
    """How far a metric falls short of its target, in spreads of that metric over published methods.

    ``ssim`` (data range 1), ``qabf``, ``vif``, ``scd`` and ``mi`` (soft histogram, nats) pull up to a value; ``en``
    (soft histogram, bits), ``sd`` and ``sf`` (logarithms) up to a margin over the better source of that same picture.

    Args:
        name: A key of ``SPREAD``, or ``ssim_fine``.
        fused: ``(B, 1, H, W)``; values outside [0, 1] count as 0 or 1 and pass no gradient: `clip` brings them back.
        ir: Same shape, in [0, 1].
        vis: Same shape, in [0, 1].
        target: Where the pull ends; None means ``TARGETS[name]``.
        mi_bins: Bins of the soft histogram of ``mi``. MI itself has 256: with few bins a copy of a source and a noisy
            version of it score alike.

    Returns:
        ``(B,)``, 0 where the target is reached.
    """
    target = TARGETS[name] if target is None else target
    fused = fused.clamp(0, 1)
    if name in ("en", "sd", "sf"):
        of_fused, of_ir, of_vis = _level_of(name)(torch.cat([fused, ir, vis])).chunk(3)
        shortfall = torch.maximum(of_ir, of_vis) + target - of_fused
    elif name == "ssim":  # of a fixed range: that of the fused picture is widened by two odd pixels
        shortfall = target - metrics.ssim(fused, ir, vis, data_range=1.0)
    elif name == FINE:
        shortfall = target - metrics.ssim(fused, ir, vis, data_range=2 / 255)
    elif name == "mi":
        shortfall = target - metrics.soft_mutual_information(fused, ir, vis, bins=mi_bins)
    else:
        shortfall = target - getattr(metrics, name)(fused, ir, vis)
    return F.relu(shortfall) / SPREAD["ssim" if name == FINE else name]


DIRECT = {
    "gradient": gradient,
    "gradient_signed": gradient_signed,
    "gradient_coarse": gradient_coarse,
    "rims": rims,
    "intensity_max": intensity_max,
    BRIGHTNESS: brightness,
    "overshoot": overshoot,
    "halos": halos,
    "even": even,
    "grain": grain,
    "black": black,
    "balance": balance,
    "clip": clip,
}
TERMS = ("intensity", "frame", *DIRECT, *SPREAD, FINE, TAUGHT)
"""The names that a configuration may weight."""


def fusion_loss(
    fused: Tensor,
    ir: Tensor,
    vis: Tensor,
    weights: Mapping[str, float | Tensor],
    *,
    mask: Tensor | None = None,
    by: Tensor | None = None,
    counts: Tensor | None = None,
    targets: Mapping[str, float] | None = None,
    mi_bins: int = 32,
    margin: int = 0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of terms, always computed in float32.

    Args:
        fused: ``(B, 1, H, W)``, any floating type.
        ir: Same shape, in [0, 1].
        vis: Same shape, in [0, 1].
        weights: Name of a term (see ``TERMS``) to its weight, a number or a tensor of one; the number 0 costs nothing.
        mask: Saliency mask for ``intensity``.
        by: What the teacher of ``taught`` made of the sources; same shape as they.
        counts: ``(B, len(TERMS))``: how much each term counts for each picture, beside its weight; None counts all.
        targets: Replaces single entries of ``TARGETS``; of ``brightness`` its ``share``.
        mi_bins: See `metric_term`.
        margin: Outermost pixels that the metric terms and ``taught`` leave out. A few extreme pixels in a corner, where
            padding tells the network to be, raise SF, SD and the range of a small crop at no cost. ``frame`` watches
            them and four more.

    Returns:
        The loss ``(B,)`` and each term before weighting ``(B,)``, by name.

    Raises:
        ValueError: If the margin leaves nothing of the picture, or ``taught`` lacks what was made.
    """
    targets = targets or {}
    with torch.autocast(fused.device.type, enabled=False):
        images = fused.float(), ir.float(), vis.float()
        height, width = fused.shape[-2:]
        if 2 * margin >= min(height, width):
            raise ValueError(f"a margin of {margin} pixels leaves nothing of a picture of {width}x{height}")

        def within(image: Tensor) -> Tensor:
            return image[..., margin : height - margin, margin : width - margin]

        inner = [within(image) for image in images]
        terms: dict[str, Tensor] = {}
        for name in (name for name, weight in weights.items() if isinstance(weight, Tensor) or weight):
            if name == "intensity":
                terms[name] = intensity(*images, mask=mask)
            elif name == "frame":
                terms[name] = frame(*images, width=margin + 4)
            elif name == TAUGHT:
                if by is None:
                    raise ValueError("the term taught needs what the teacher made")
                terms[name] = taught(inner[0], within(by.float()))
            elif name == BRIGHTNESS:
                terms[name] = brightness(*images, share=targets.get(name, 1.0))
            elif name in DIRECT:
                terms[name] = DIRECT[name](*images)
            else:
                terms[name] = metric_term(name, *inner, target=targets.get(name), mi_bins=mi_bins)
        total = images[0].new_zeros(len(fused))
        for name, term in terms.items():
            total = total + weights[name] * (term if counts is None else counts[:, TERMS.index(name)] * term)
    return total, terms


def blend(start: Mapping[str, float], end: Mapping[str, float], share: float) -> dict[str, float]:
    """Weights on the way from one set of terms to another.

    Args:
        start: Weights at ``share`` 0.
        end: Weights at ``share`` 1.
        share: From 0 to 1.

    Returns:
        Every name of either set, missing ones counted as 0.
    """
    return {name: (1 - share) * start.get(name, 0.0) + share * end.get(name, 0.0) for name in {**start, **end}}
