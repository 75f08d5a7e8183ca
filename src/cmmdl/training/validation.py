"""Scores of the averaged weights on whole pictures while a run goes, and the number that says which step was best."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cmmdl import metrics
from cmmdl.errors import UserError
from cmmdl.files.listing import read_stems
from cmmdl.metrics.correlation import correlation
from cmmdl.training.config import Source, ValidationConfig
from cmmdl.training.data import TrainingPair, find_pairs
from cmmdl.training.losses import SPREAD

SCORED = {
    "EN": lambda f, i, v: metrics.entropy(f),
    "SD": lambda f, i, v: metrics.sd(f),
    "SF": lambda f, i, v: metrics.sf(f),
    "MI": metrics.mutual_information,
    "SCD": metrics.scd,
    "VIF": metrics.vif,
    "Qabf": metrics.qabf,
    "SSIM": metrics.ssim,
    "corr_ir": lambda f, i, v: correlation(255 * f, 255 * i),
    "corr_vis": lambda f, i, v: correlation(255 * f, 255 * v),
}


def validation_pairs(config: ValidationConfig) -> list[TrainingPair]:
    """The pairs that are scored, in memory: evenly spread over the sorted stems; none if no folders are given.

    Raises:
        UserError: If only one of the two folders is given, they have no stem in common, or a picture is bad.
    """
    if config.ir is None and config.vis is None:
        return []
    if config.ir is None or config.vis is None:
        raise UserError("validation needs both folders: --val-ir and --val-vis (val.ir and val.vis)")
    names = {name: getattr(config, name) for name in ("ir_name", "vis_name", "recursive", "ir_range", "vis_range")}
    pairs, _ = find_pairs(Source(ir=config.ir, vis=config.vis, **names))
    if config.only:
        wanted = read_stems(config.only)
        pairs = [pair for pair in pairs if pair.name in wanted]
        if not pairs:
            raise UserError(f"{config.only}: names no pair of {config.ir} and {config.vis}")
    count = min(config.pairs, len(pairs))
    chosen = [pairs[n * len(pairs) // count] for n in range(count)]
    for pair in chosen:
        pair.planes = pair.load()
    return chosen


def pictures(pair: TrainingPair, crop: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Infrared and visible luma, ``(1, 1, H, W)`` in [0, 1]; larger ones cut to the centre if ``crop`` is not 0."""
    planes = torch.from_numpy(pair.load()[:2]).to(device).float() / 255
    height, width = planes.shape[1:]
    if crop:
        top, left = max(0, (height - crop) // 2), max(0, (width - crop) // 2)
        planes = planes[:, top : top + crop, left : left + crop]
    return planes[0][None, None], planes[1][None, None]


@torch.no_grad()
def fuse(model: nn.Module, ir: Tensor, vis: Tensor) -> Tensor:
    """The fused picture as it would be written to an 8-bit file: ``(1, 1, H, W)`` in [0, 1]."""
    return (model(ir, vis).float().clamp(0, 1) * 255).round() / 255


@torch.no_grad()
def score(model: nn.Module, pairs: list[TrainingPair], crop: int, device: torch.device) -> dict[str, float]:
    """Mean metrics over pairs, the correlations with both sources among them, and ``total``.

    A correlation near or below 0 is the mark of a photographic negative.

    Args:
        model: In eval mode; called ``model(ir, vis)``.
        pairs: At least one.
        crop: See `pictures`.
        device: Where the model is.

    Returns:
        A number a name.
    """
    sums = dict.fromkeys(SCORED, 0.0)
    for pair in pairs:
        ir, vis = pictures(pair, crop, device)
        fused = fuse(model, ir, vis)
        for name, metric in SCORED.items():
            sums[name] += float(metric(fused, ir, vis)) / len(pairs)
    return {**sums, "total": total(sums)}


def total(scores: dict[str, float]) -> float:
    """The number by which the best step is kept; higher is better.

    The mean over EN, SD, SF, MI, SCD, VIF, Qabf and SSIM of the score in units of its spread over published methods
    (`cmmdl.training.losses.SPREAD`; SD and SF by their logarithm).
    """
    values = {name.lower(): value for name, value in scores.items()}
    for name in ("sd", "sf"):
        values[name] = math.log1p(values[name])
    return sum(values[name] / spread for name, spread in SPREAD.items()) / len(SPREAD)
