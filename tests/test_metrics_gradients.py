"""Gradients of the metrics that serve as loss terms: against finite differences, and finite at flat patches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from cmmdl import metrics
from cmmdl.metrics import METRICS

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

LOSSES: dict[str, Loss] = {name: metric for name, metric in METRICS.items() if metric.differentiable}
LOSSES |= {
    "MS-SSIM": partial(metrics.ms_ssim, scales=3),
    "SSIM of range 1": partial(metrics.ssim, data_range=1.0),
    "soft entropy": lambda fused, ir, vis: metrics.soft_entropy(fused),
    "soft MI": metrics.soft_mutual_information,
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=list(LOSSES))


def random_crops(seed: int, batch: int = 1, side: int = 48) -> Tensor:
    """Uncorrelated greys, away from 0 and 1: ``(B, 1, side, side)`` float64."""
    generator = torch.Generator().manual_seed(seed)
    return 0.05 + 0.9 * torch.rand(batch, 1, side, side, dtype=torch.float64, generator=generator)


def three(batch: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Fused, ir and vis; the fused crops have something of both sources and something of their own."""
    own, ir, vis = (random_crops(seed, batch) for seed in (0, 1, 2))
    return (own + ir + vis) / 3, ir, vis


def patched(crops: Tensor, grey: float, start: int, end: int) -> Tensor:
    """The same with a square of one grey."""
    crops = crops.clone()
    crops[..., start:end, start:end] = grey
    return crops


def assert_gradient(loss: Loss, fused: Tensor, ir: Tensor, vis: Tensor, places: list[tuple[int, int]]) -> None:
    """Compare with central differences at some pixels, to 1e-4 of the largest gradient."""
    fused = fused.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(fused, ir, vis).sum(), fused)
    assert gradient.isfinite().all()
    scale, step = gradient.abs().max().item(), 1e-6
    assert scale > 0
    for y, x in places:
        shift = torch.zeros_like(fused)
        shift[..., y, x] = step
        above, below = (loss(fused + sign * shift, ir, vis).sum().item() for sign in (1, -1))
        assert gradient[..., y, x].sum().item() == pytest.approx((above - below) / (2 * step), abs=1e-4 * scale)


def test_all_that_should_be_are_differentiable() -> None:
    named = {name for name, metric in METRICS.items() if metric.differentiable}
    assert named >= {"SSIM", "MS-SSIM", "VIF", "Qabf", "Nabf", "SCD", "CC", "MSE", "SD", "SF", "AG", "EI"}


@every_loss
def test_finite_differences(loss: Loss) -> None:
    places = [(0, 0), (0, 20), (47, 47), (13, 30), (31, 8), (24, 24)]
    assert_gradient(loss, *three(), places)


@every_loss
def test_finite_differences_beside_flat_patches(loss: Loss) -> None:
    fused, ir, vis = three()
    places = [(5, 5), (40, 20), (12, 44), (45, 45)]
    assert_gradient(loss, patched(fused, 0.5, 10, 30), patched(ir, 0.25, 15, 40), vis, places)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_gradient_is_finite_at_constant_pictures(loss: Loss, grey: float, dtype: torch.dtype) -> None:
    textured, flat = random_crops(1, batch=2).to(dtype), torch.full((2, 1, 48, 48), grey, dtype=dtype)
    for fused, ir, vis in (
        (flat, flat, flat),
        (flat, textured, textured),
        (textured, flat, flat),
        (textured, textured, textured),
        (patched(textured, grey, 10, 40), patched(textured, 0.3, 5, 30), flat),
    ):
        fused = fused.clone().requires_grad_()
        value = loss(fused, ir, vis)
        assert value.dtype == dtype
        assert value.isfinite().all()
        (gradient,) = torch.autograd.grad(value.sum(), fused)
        assert gradient.isfinite().all()


@every_loss
def test_float32_is_close_to_float64(loss: Loss) -> None:
    results = []
    for dtype in (torch.float32, torch.float64):
        fused, ir, vis = (x.to(dtype) for x in three(batch=2))
        fused.requires_grad_()
        value = loss(fused, ir, vis)
        results.append((value.detach().double(), torch.autograd.grad(value.sum(), fused)[0].double()))
    (single, single_gradient), (double, double_gradient) = results
    assert torch.allclose(single, double, rtol=1e-3, atol=1e-5)
    assert torch.nn.functional.cosine_similarity(single_gradient.ravel(), double_gradient.ravel(), dim=0) > 0.999


def test_a_fused_picture_in_the_making_may_leave_the_range() -> None:
    fused = (1.2 * random_crops(0)).requires_grad_()
    assert metrics.ssim(fused, random_crops(1), random_crops(2)).isfinite().all()
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        metrics.ssim(fused.detach(), random_crops(1), random_crops(2))


def test_soft_histograms_resemble_the_hard_ones() -> None:
    x, y = random_crops(0, side=128), random_crops(1, side=128)
    assert metrics.soft_mutual_information(x, x, x).item() > 4 * metrics.soft_mutual_information(x, y, y).item()
    assert metrics.soft_mutual_information(x, y, y).item() == pytest.approx(0, abs=0.12)
    assert metrics.soft_entropy(torch.full_like(x, 0.5)).item() < 1.6
    uniform = torch.linspace(0, 1, 128**2, dtype=torch.float64).view(1, 1, 128, 128)
    assert metrics.soft_entropy(uniform, bins=64).item() == pytest.approx(6, abs=0.1)
