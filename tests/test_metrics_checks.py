"""One list of checks that every metric of the table passes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from cmmdl.metrics import METRICS, Metric

every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=list(METRICS))


def scene(seed: int, height: int = 61, width: int = 66) -> Tensor:
    """A picture of smooth shapes, edges and a little grain: ``(1, 1, H, W)`` uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = sum(
        np.sin(2 * np.pi * (fx * x / width + fy * y / height + phase)) / (1 + k)
        for k, (fx, fy, phase) in enumerate(rng.uniform(-6, 6, size=(6, 3)))
    )
    disc = (x - width * rng.uniform(0.3, 0.7)) ** 2 + (y - height * rng.uniform(0.3, 0.7)) ** 2 < (height / 5) ** 2
    picture = 115 + 25 * waves + 60 * disc + rng.normal(scale=3, size=x.shape)
    return torch.from_numpy(np.clip(picture, 5, 250).round().astype(np.uint8))[None, None]


@pytest.fixture
def three(metric: Metric) -> tuple[Tensor, Tensor, Tensor]:
    """Fused, ir and vis, of odd height and of at least the metric's least size."""
    height = max(61, metric.smallest + 5)
    ir, vis = scene(1, height, height + 5), scene(2, height, height + 5)
    fused = ((ir.float() + vis.float()) / 2).round().to(torch.uint8)
    return fused, ir, vis


@every_metric
def test_value_is_within_the_stated_range(metric: Metric, three: tuple[Tensor, Tensor, Tensor]) -> None:
    value = metric(*three)
    assert value.shape == (1,)
    assert value.dtype == torch.float64
    assert metric.range[0] <= value.item() <= metric.range[1]


@every_metric
def test_equal_pictures_give_the_ideal_value(metric: Metric, three: tuple[Tensor, Tensor, Tensor]) -> None:
    fused, ir, vis = three
    same = metric(vis, vis, vis).item()
    if metric.needs == "fused":
        assert metric.equal is None
        assert same == metric(vis, ir, fused).item()
        return
    if metric.name == "MI":  # all that there is to tell, twice
        assert same == pytest.approx(2 * math.log(2) * METRICS["EN"](vis, vis, vis).item())
        return
    assert metric.equal is not None
    assert same == pytest.approx(metric.equal, rel=1e-4, abs=1e-9)
    if metric.name != "SCD":  # of which equal pictures have none to correlate, by definition
        other = metric(fused, ir, vis).item()
        assert same > other if metric.direction == "higher" else same <= other


@every_metric
@pytest.mark.parametrize("grey", [0, 90, 255])
def test_constant_pictures_give_a_defined_value(
    metric: Metric, grey: int, three: tuple[Tensor, Tensor, Tensor]
) -> None:
    fused, ir, vis = three
    flat, other = torch.full_like(vis, grey), torch.full_like(vis, 128)
    alike = metric(flat, flat, flat).item()
    if metric.needs == "fused":
        assert alike == 0
    elif metric.name in ("CC", "SCD", "MI"):
        assert alike == 0  # nothing to correlate, nothing to tell
    else:
        assert alike == pytest.approx(metric.equal)
    for pictures in ((flat, ir, vis), (fused, flat, vis), (fused, ir, flat), (fused, flat, flat), (flat, other, vis)):
        value = metric(*pictures).item()
        assert math.isfinite(value)
        assert metric.range[0] <= value <= metric.range[1]


@every_metric
def test_too_small_is_an_error(metric: Metric) -> None:
    n = metric.smallest
    enough = scene(3, n, n)
    assert math.isfinite(metric(enough, scene(4, n, n), scene(5, n, n)).item())
    for h, w in ((n - 1, n), (n, n - 1)):
        less = torch.zeros(1, 1, h, w)
        with pytest.raises(ValueError, match="too small"):
            metric(less, less, less)


@every_metric
def test_uint8_and_float_agree(metric: Metric, three: tuple[Tensor, Tensor, Tensor]) -> None:
    expected = metric(*three).item()
    assert metric(*(x.double() / 255 for x in three)).item() == pytest.approx(expected, rel=1e-12)
    assert metric(*(x.float() / 255 for x in three)).item() == pytest.approx(expected, rel=1e-12)


@every_metric
def test_a_batch_of_two_equals_two_singles(metric: Metric, three: tuple[Tensor, Tensor, Tensor]) -> None:
    fused, ir, vis = three
    pairs = [(fused, ir, vis), (ir, vis, fused)]
    together = metric(*(torch.cat(pictures) for pictures in zip(*pairs, strict=True)))
    assert together.tolist() == pytest.approx([metric(*pair).item() for pair in pairs], rel=1e-10)


@every_metric
def test_noise_moves_it_in_the_stated_direction(metric: Metric, three: tuple[Tensor, Tensor, Tensor]) -> None:
    fused, ir, vis = three
    if metric.name in ("CE", "MI", "NMI"):  # of histograms, which noise alone makes wider and seemingly richer
        fused = ir = vis
    noise = 25 * torch.randn(vis.shape, generator=torch.Generator().manual_seed(0))
    noisy = (fused + noise).clamp(0, 255).round().to(torch.uint8)
    gain = (metric(noisy, ir, vis) - metric(fused, ir, vis)).item()
    if metric.needs == "fused":
        assert gain > 0  # without a reference noise counts as detail: known, and how these are gamed
    else:
        assert gain < 0 if metric.direction == "higher" else gain > 0


@every_metric
def test_sources_may_be_exchanged(metric: Metric, three: tuple[Tensor, Tensor, Tensor]) -> None:
    fused, ir, vis = three
    assert metric(fused, vis, ir).item() == pytest.approx(metric(fused, ir, vis).item(), rel=1e-10)


@every_metric
def test_wrong_input_is_refused(metric: Metric) -> None:
    good = torch.rand(1, 1, 200, 200)
    for bad, message in (
        (good * 255, r"must lie in \[0, 1\]"),
        (good - 1, r"must lie in \[0, 1\]"),
        (good * float("nan"), r"must lie in \[0, 1\]"),
        (good.expand(1, 3, -1, -1), r"must be \(B, 1, H, W\)"),
        (good[0], r"must be \(B, 1, H, W\)"),
        (good.long(), "must be float"),
        (good[:0], "empty"),
    ):
        with pytest.raises(ValueError, match=message):
            metric(bad, bad, bad)
    if metric.needs == "all":
        with pytest.raises(ValueError, match="differ in shape"):
            metric(good, good[..., 1:], good)


def test_the_table_says_where_each_metric_is_from() -> None:
    assert len(METRICS) == 29
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.title
        assert metric.equation
        assert any(character.isdigit() for character in metric.source), "a paper has a year"
        assert metric.range[0] < metric.range[1]
        documented = getattr(metric.function, "func", metric.function).__doc__ or ""
        assert f"{metric.direction} is better" in documented
