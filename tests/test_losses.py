"""Loss terms against literals, SciPy and finite differences."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cmmdl import metrics
from cmmdl.scenes import synthetic_pair
from cmmdl.training import losses


def scene(size: int = 48, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    ir, vis = synthetic_pair(size, size, seed=seed)
    luma = vis @ np.array([0.299, 0.587, 0.114])
    return tuple(torch.from_numpy(np.asarray(x, dtype=np.float64) / 255).to(dtype)[None, None] for x in (ir, luma))


def between(a: torch.Tensor, b: torch.Tensor, seed: int = 0) -> torch.Tensor:
    noise = torch.rand(a.shape, dtype=a.dtype, generator=torch.Generator().manual_seed(seed))
    return 0.45 * a + 0.4 * b + 0.1 * noise


def test_sobel_of_a_ramp_and_at_the_border() -> None:
    ramp = torch.arange(5.0).expand(1, 1, 4, 5)
    dx, dy = losses.sobel(ramp, padding=0)[0]
    assert torch.equal(dx, torch.full((2, 3), 8.0))
    assert torch.equal(dy, torch.zeros(2, 3))
    padded = losses.sobel(ramp)[0]
    assert padded[0, 0].tolist() == [3.0, 6.0, 6.0, 6.0, -9.0]  # one row of the kernel hangs over
    assert padded[1, 0].tolist() == [1.0, 4.0, 8.0, 12.0, 11.0]


def test_released_terms_agree_with_scipy() -> None:
    ir, vis = scene(40)
    fused = between(ir, vis)
    f, i, v = (x[0, 0].numpy() for x in (fused, ir, vis))

    def strength(x: np.ndarray) -> np.ndarray:
        return sum(np.abs(ndimage.sobel(x, axis, mode="constant")) for axis in (0, 1))

    expected = np.abs(strength(f) - np.maximum(strength(i), strength(v))).mean()
    assert losses.gradient(fused, ir, vis).item() == pytest.approx(expected, rel=1e-12)

    line = np.exp(-(np.arange(-4, 5) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2

    def variance(x: np.ndarray) -> np.ndarray:
        return ndimage.correlate(x**2, window, mode="constant") - ndimage.correlate(x, window, mode="constant") ** 2

    mask = variance(i) > variance(v)
    assert 0.02 < mask.mean() < 0.98
    box = [ndimage.uniform_filter((x - f) ** 2, 9, mode="constant") for x in (i, v)]
    assert losses.intensity(fused, ir, vis).item() == pytest.approx(np.where(mask, *box).mean(), rel=1e-10)


def test_saliency_mask_turns_to_infrared() -> None:
    ir, vis = torch.full((1, 1, 20, 20), 0.5), torch.rand(1, 1, 20, 20)
    everywhere = torch.ones_like(ir)
    assert not losses.saliency(ir, ir).any(), "equal variances count as visible"
    assert losses.intensity(ir, ir, vis, mask=everywhere).item() == 0
    assert losses.intensity(ir, ir, vis).item() > 0.01


def test_magnitudes_are_blind_to_the_negative_and_signs_are_not() -> None:
    _, vis = scene()
    flat = torch.full_like(vis, 0.5)
    inside = slice(1, -1)
    magnitude = losses.sobel(vis).abs().sum(1)[..., inside, inside]
    assert torch.allclose(magnitude, losses.sobel(1 - vis).abs().sum(1)[..., inside, inside])
    assert losses.gradient_signed(vis, flat, vis).item() == pytest.approx(0, abs=1e-12)
    assert losses.gradient_signed(1 - vis, flat, vis).item() > 1.9 * losses.gradient_signed(flat, flat, vis).item()


def test_the_brighter_source_and_the_forgotten_one() -> None:
    ir, vis = torch.tensor([0.2, 0.9, 0.4]).view(1, 1, 1, 3), torch.tensor([0.5, 0.1, 0.4]).view(1, 1, 1, 3)
    fused = torch.tensor([0.5, 0.6, 0.1]).view(1, 1, 1, 3)
    assert losses.intensity_max(fused, ir, vis).item() == pytest.approx((0 + 0.3 + 0.3) / 3)
    wave = torch.linspace(0, 12.56, 64).view(1, 1, 8, 8)
    ir, vis = 0.5 + 0.3 * wave.sin(), 0.5 + 0.3 * wave.cos()  # nearly uncorrelated
    assert losses.balance((ir + vis) / 2, ir, vis).item() == pytest.approx(0, abs=1e-6)
    assert losses.balance(ir, ir, vis).item() == pytest.approx(0.5, abs=0.03), "the visible one is forgotten"
    assert losses.balance(1 - (ir + vis) / 2, ir, vis).item() > 2, "a negative is worse"


def test_rims_agree_with_scipy() -> None:
    ir, vis = scene(40)
    fused = between(ir, vis)
    f, i, v = (x[0, 0].numpy() for x in (fused, ir, vis))
    expected = 0.0
    for size in (3, 7):
        hats = [(ndimage.black_tophat(x, size), ndimage.white_tophat(x, size)) for x in (f, i, v)]
        for of_fused, of_ir, of_vis in zip(*hats, strict=True):
            allowed = 1.5 * ndimage.maximum_filter(np.maximum(of_ir, of_vis), 3)
            expected += np.maximum(of_fused - allowed, 0).mean()
    assert expected > 1e-3
    assert losses.rims(fused, ir, vis).item() == pytest.approx(expected, rel=1e-10)


def test_rims_are_lines_that_no_source_has() -> None:
    bright_sky, dark_sky = torch.full((1, 1, 30, 40), 0.3), torch.full((1, 1, 30, 40), 0.6)
    bright_sky[..., :15, :] = 0.9
    dark_sky[..., :15, :] = 0.1
    fused = torch.full((1, 1, 30, 40), 0.4)
    fused[..., :15, :] = 0.8
    assert losses.rims(fused, dark_sky, bright_sky).item() == 0, "an edge is no line"
    rim = fused.clone()
    rim[..., 15:18, :] = 0.0
    once = losses.rims(rim, dark_sky, bright_sky).item()
    assert once == pytest.approx(0.4 * 3 / 30), "three rows, seen by the larger square"
    line, copied = dark_sky.clone(), fused.clone()
    line[..., 22:25, :], copied[..., 22:25, :] = 0.3, 0.0  # 0.3 and 0.4 below what is around
    assert losses.rims(copied, line, bright_sky).item() == 0, "a line of infrared"
    assert losses.rims(copied, dark_sky, bright_sky).item() > 0.03
    board = fused.clone()
    board[..., 20:26, 20:26] += 0.2 * ((torch.arange(6)[:, None] + torch.arange(6)) % 2)
    assert losses.rims(board, dark_sky, bright_sky).item() > 0.2 * 18 / 1200, "a chess board, seen by both"


def test_coarse_gradients_see_a_soft_outline_in_noise() -> None:
    noise = 0.1 + 0.3 * torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    place = torch.arange(64.0) - 32
    person = 0.4 * torch.exp(-(place[:, None] ** 2 + place**2) / (2 * 8**2)).expand(1, 1, 64, 64)
    blind, seeing = noise, noise + person
    assert losses.gradient_coarse(seeing, person, noise) < 0.7 * losses.gradient_coarse(blind, person, noise)
    assert losses.gradient_signed(seeing, person, noise) > losses.gradient_signed(blind, person, noise)
    by_hand = [torch.nn.functional.avg_pool2d(x, 4) for x in (blind, person, noise)]
    assert losses.gradient_coarse(blind, person, noise).item() == losses.gradient_signed(*by_hand).item()


def test_brightness_is_of_blocks_and_leaves_their_structure_free() -> None:
    mri, pet = torch.full((1, 1, 16, 16), 0.2), torch.full((1, 1, 16, 16), 0.1)
    pet[..., :8, :8] = 0.6
    assert losses.brightness(mri, mri, pet).item() == pytest.approx(0.4 / 4)
    stripes = mri.clone()
    stripes[..., :8, :8] = torch.tensor([0.4, 0.8]).repeat(4)
    assert losses.brightness(stripes, mri, pet).item() == pytest.approx(0, abs=1e-7)
    assert losses.intensity_max(stripes, mri, pet).item() == pytest.approx(0.2 / 4)
    assert losses.brightness(stripes + 0.1, mri, pet).item() == 0, "brighter is not its business"


def test_brightness_asks_for_a_share_of_the_way_from_the_first_source() -> None:
    mri, pet = torch.full((1, 1, 16, 16), 0.2), torch.full((1, 1, 16, 16), 0.1)
    pet[..., :8, :8] = 0.6
    assert losses.brightness(mri, mri, pet, share=0.5).item() == pytest.approx(0.2 / 4)
    _, terms = losses.fusion_loss(mri, mri, pet, {"brightness": 1.0}, targets={"brightness": 0.25})
    assert terms["brightness"].item() == pytest.approx(0.1 / 4)


def test_overshoot_is_of_blocks_beyond_both_sources() -> None:
    ir, vis = torch.full((1, 1, 16, 16), 0.8), torch.full((1, 1, 16, 16), 0.2)
    assert losses.overshoot(torch.full_like(ir, 0.5), ir, vis).item() == 0
    assert losses.overshoot(torch.ones_like(ir), ir, vis).item() == pytest.approx(0.2)
    assert losses.overshoot(torch.zeros_like(ir), ir, vis).item() == pytest.approx(0.2)
    stripes = torch.tensor([0.6, 1.0]).repeat(8).expand_as(ir)
    assert losses.overshoot(stripes, ir, vis).item() == pytest.approx(0, abs=1e-6), "detail around 0.8 is free"


def test_halos_are_slopes_that_no_source_has() -> None:
    sky = torch.full((1, 1, 48, 48), 0.4)
    bright = torch.full((1, 1, 48, 48), 0.7)
    assert losses.halos((sky + bright) / 2, sky, bright).item() == pytest.approx(0, abs=1e-6)
    slope = torch.linspace(0, 0.47, 48).expand_as(sky)
    by_hand = 4 * 0.01 * 2 * (4 + 8 + 16)  # 1-2-1 times the rise over two blocks of each size
    assert losses.halos(sky + slope, sky, bright).item() == pytest.approx(by_hand, rel=1e-5)
    assert losses.halos(sky + slope, sky + slope, bright).item() == pytest.approx(0, abs=1e-6), "a source's own slope"
    assert losses.halos(sky + 1.2 * slope, sky + slope, bright).item() == pytest.approx(0, abs=1e-5), "a little more"
    assert losses.halos(1 - slope, sky + slope, bright).item() == pytest.approx(by_hand, rel=1e-5), "the other way"


def test_even_compares_places_that_look_alike_at_any_distance() -> None:
    """Four columns of blocks: sky, wall, sky, sky. In the result the last one is 0.3 brighter than the other two."""
    columns = torch.tensor([0.1, 0.9, 0.1, 0.1], dtype=torch.float64).repeat_interleave(8)
    ir = columns.expand(1, 1, 32, 32)
    vis = 0.7 - ir / 2
    assert losses.even(0.3 * ir + 0.6 * vis, ir, vis).item() == pytest.approx(0, abs=1e-12), "levels alone"
    glow = torch.tensor([0.0, 0.0, 0.0, 0.3], dtype=torch.float64).repeat_interleave(8).expand_as(ir)
    by_hand = (0.1 + 0 + 0.1 + 0.2) / 4  # the sky's mean is 0.1
    assert losses.even(ir + glow, ir, vis).item() == pytest.approx(by_hand, rel=1e-6)
    rough = 0.2 * (torch.arange(32) % 2 - 0.5) + ir
    assert losses.even(rough + glow, rough, vis).item() < 1e-4 * by_hand, "texture may become what it likes"
    ramp = torch.linspace(0, 1, 4, dtype=torch.float64).repeat_interleave(8).expand_as(ir)
    assert losses.even(ramp**2, ramp, ramp).item() < 1e-4, "other levels are another matter"


def test_grain_is_noise_amplified_where_it_is_flat() -> None:
    noise = torch.rand(1, 1, 40, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5
    flat, night = torch.full_like(noise, 0.5), 0.1 + 0.04 * noise
    assert losses.grain(night, night, flat).item() == pytest.approx(0, abs=1e-9)
    assert losses.grain(0.1 + 0.02 * noise, night, flat).item() == 0, "less noise is welcome"
    once, twice = (losses.grain(0.1 + 0.04 * gain * noise, night, flat).item() for gain in (2, 3))
    assert once == pytest.approx(0.04 / 12**0.5, rel=0.15), "the noise's own deviation, once more"
    assert twice == pytest.approx(2 * once, rel=0.02)
    texture = 0.5 + noise
    assert losses.grain(0.5 + 1.5 * noise, texture, flat).item() < 0.01 * once, "texture may gain contrast"


def test_frame_sees_the_border_only_and_what_is_beyond_both_sources() -> None:
    ir, vis = torch.full((1, 1, 20, 30), 0.4), torch.full((1, 1, 20, 30), 0.6)
    fused = torch.full((1, 1, 20, 30), 0.5)
    fused[..., 10, 10] = 1.0
    assert losses.frame(fused, ir, vis).item() == 0
    fused[..., 0, 0], fused[..., 19, 3], fused[..., 7, 26] = 1.0, 0.0, 0.6
    assert losses.frame(fused, ir, vis).item() == pytest.approx((0.4 + 0.4) / (20 * 30 - 12 * 22))
    assert losses.frame(fused[..., :5, :], ir[..., :5, :], vis[..., :5, :]).item() == pytest.approx(0.4 / (5 * 30))


def test_metric_terms_leave_the_margin_out() -> None:
    ir, vis = scene(64)
    fused = between(ir, vis)
    odd = fused.clone()
    odd[..., :6, :6] = (torch.arange(6)[:, None] + torch.arange(6)) % 2  # a chess board in the corner
    weights = {name: 1.0 for name in losses.SPREAD}
    plain, cheating = (losses.fusion_loss(x, ir, vis, weights, margin=6)[0].item() for x in (fused, odd))
    assert cheating == plain
    dull = 0.5 + 0.1 * (fused - 0.5)
    raised = dull.clone()
    raised[..., :6, :6] = odd[..., :6, :6]
    without, rewarded = (losses.fusion_loss(x, ir, vis, {"sf": 1.0})[0].item() for x in (dull, raised))
    assert rewarded < without - 0.5, "without a margin it pays"
    watched = losses.fusion_loss(odd, ir, vis, {"frame": 1.0}, margin=6)[0].item()
    assert watched > losses.fusion_loss(fused, ir, vis, {"frame": 1.0}, margin=6)[0].item()


def test_a_margin_that_leaves_nothing_is_refused() -> None:
    ir, vis = scene(12)
    with pytest.raises(ValueError, match="leaves nothing of a picture of 12x12"):
        losses.fusion_loss(ir, ir, vis, {"sd": 1.0}, margin=6)


def test_two_odd_pixels_do_not_raise_the_structural_similarity() -> None:
    ir, vis = (0.4 + 0.2 * x for x in scene())
    fused = between(ir, vis) + 0.1
    wide = fused.clone()
    wide[..., 0, 0], wide[..., 0, 1] = 0.0, 1.0  # where no window of SSIM is centred
    plain, cheating = (losses.metric_term("ssim", x, ir, vis).item() for x in (fused, wide))
    assert cheating >= plain - 1e-9
    assert metrics.ssim(wide, ir, vis).item() > metrics.ssim(fused, ir, vis).item() + 0.1, "as the metric itself would"


def test_clip_counts_only_what_lies_outside() -> None:
    fused = torch.tensor([[-0.5, 0.0], [1.0, 1.25]])[None, None]
    assert losses.clip(fused, fused, fused).item() == pytest.approx(0.75 / 4)


@pytest.mark.parametrize(
    ("name", "target", "spread"),
    [("ssim", 2, 0.1), ("vif", 2, 0.12), ("qabf", 1, 0.08), ("scd", 2, 0.2), ("mi", 4, 0.6)],
)
def test_metric_terms_are_shortfalls_in_spreads(name: str, target: float, spread: float) -> None:
    ir, vis = scene()
    fused = between(ir, vis).requires_grad_()
    value = {"mi": metrics.soft_mutual_information, "ssim": partial(metrics.ssim, data_range=1.0)}.get(name)
    value = value or getattr(metrics, name)
    score = value(fused, ir, vis)
    assert losses.metric_term(name, fused, ir, vis).item() == pytest.approx((target - score.item()) / spread, rel=1e-9)
    reached = losses.metric_term(name, fused, ir, vis, target=score.item() - 0.01)
    assert reached.item() == 0


@pytest.mark.parametrize("name", list(losses.SPREAD))
def test_a_pixel_far_outside_brings_a_metric_nothing(name: str) -> None:
    ir, vis = scene()
    fused = between(ir, vis)
    fused[..., 5, 5] = 1.0
    outlier = fused.clone()
    outlier[..., 5, 5] = 40.0
    plain, cheating = (losses.metric_term(name, x, ir, vis).item() for x in (fused, outlier))
    assert cheating == pytest.approx(plain, rel=1e-12)


def test_fine_bins_tell_a_copy_from_a_noisy_copy() -> None:
    ir, vis = scene(96)
    noise = torch.rand(ir.shape, dtype=ir.dtype, generator=torch.Generator().manual_seed(0))
    noisy = (ir + (6 * noise - 3) / 255).clamp(0, 1)

    def gap(bins: int) -> float:
        of_copy, of_noisy = (losses.metric_term("mi", x, ir, vis, target=9, mi_bins=bins).item() for x in (ir, noisy))
        return 0.6 * (of_noisy - of_copy)

    hard = metrics.mutual_information(ir, ir, vis) - metrics.mutual_information(noisy, ir, vis)
    assert 3 * gap(32) < gap(256), "32 bins hardly see it"
    assert gap(256) > 0.4 * hard.item(), "256 see about half of what MI sees"


@pytest.mark.parametrize(("name", "spread"), [("en", 0.5), ("sd", 0.2), ("sf", 0.2)])
def test_levels_are_measured_against_the_better_source(name: str, spread: float) -> None:
    ir, vis = scene()
    measure = {"en": metrics.soft_entropy}.get(name) or (lambda x: torch.log1p(getattr(metrics, name)(x)))
    better = max((ir, vis), key=lambda x: measure(x).item())
    assert losses.metric_term(name, better.clone().requires_grad_(), ir, vis).item() == pytest.approx(0, abs=1e-6)
    assert losses.metric_term(name, better.clone().requires_grad_(), ir, vis, target=0.1).item() == pytest.approx(
        0.1 / spread, rel=1e-3
    )
    dull = (0.5 + 0.2 * (better - 0.5)).requires_grad_()
    lack = (measure(better) - measure(dull)).item()
    assert losses.metric_term(name, dull, ir, vis).item() == pytest.approx(lack / spread, rel=1e-3)


def test_black_counts_what_shines_where_both_sources_are_empty() -> None:
    ir, vis = torch.zeros(2, 1, 1, 4, 5, dtype=torch.float64)
    ir[..., 0], vis[..., 1] = 3 / 255, 2 / 255
    fused = torch.full_like(ir, 12 / 255)
    assert losses.black(fused, ir, vis).item() == pytest.approx(10 / 255 * 4 / 5), "the first column holds something"
    assert losses.black(fused / 6, ir, vis).item() == 0, "two levels are black"


@pytest.mark.parametrize("name", [name for name in losses.TERMS if name != losses.TAUGHT])
def test_gradients_agree_with_finite_differences(name: str) -> None:
    ir, vis = scene()
    fused = between(ir, vis, seed=1)
    if name in ("clip", "frame"):
        fused = 3 * fused - 1
    if name == "balance":
        fused = 1 - fused
    if name == "black":
        ir, vis = ir / 200, vis / 200
    if name in ("en", "sd", "sf"):
        fused = 0.5 + 0.2 * (fused - 0.5)
    term = {"intensity": losses.intensity, "frame": losses.frame, **losses.DIRECT}.get(name) or (
        lambda f, i, v: losses.metric_term(name, f, i, v)
    )
    direction = torch.randn(fused.shape, dtype=fused.dtype, generator=torch.Generator().manual_seed(2))
    x = fused.clone().requires_grad_()
    slope = torch.autograd.grad(term(x, ir, vis).sum(), x)[0].mul(direction).sum().item()
    step = 1e-6

    def at(s: float) -> float:
        return term((fused + s * direction).requires_grad_(), ir, vis).item()

    assert slope != 0
    assert slope == pytest.approx((at(step) - at(-step)) / (2 * step), rel=2e-3, abs=1e-7)


def test_loss_is_the_weighted_sum_picture_by_picture_in_float32() -> None:
    first, second = scene(48, 0, torch.float32), scene(48, 1, torch.float32)
    ir, vis = torch.cat([first[0], second[0]]), torch.cat([first[1], second[1]])
    fused = between(ir, vis).bfloat16().requires_grad_()
    weights = {"intensity": 2.0, "ssim": 0.5, "gradient_signed": 1.0, "vif": 0.0}
    total, terms = losses.fusion_loss(fused, ir, vis, weights)
    assert total.dtype == torch.float32
    assert total.shape == (2,)
    assert terms.keys() == {"intensity", "ssim", "gradient_signed"}, "a weight of 0 costs nothing"
    assert torch.allclose(total, 2 * terms["intensity"] + 0.5 * terms["ssim"] + terms["gradient_signed"])
    alone, _ = losses.fusion_loss(fused[1:], ir[1:], vis[1:], weights)
    assert torch.allclose(alone, total[1:], rtol=1e-5)
    total.mean().backward()
    assert fused.grad is not None
    assert fused.grad.isfinite().all()


def test_terms_that_do_not_count_for_a_picture_leave_its_loss_and_gradient_alone() -> None:
    first, second = scene(48, 0, torch.float32), scene(48, 1, torch.float32)
    ir, vis = torch.cat([first[0], second[0]]), torch.cat([first[1], second[1]])
    fused = between(ir, vis).requires_grad_()
    weights = {"ssim": 0.5, "halos": 3.0}
    counts = torch.ones(2, len(losses.TERMS))
    counts[1, losses.TERMS.index("ssim")] = 0
    total, terms = losses.fusion_loss(fused, ir, vis, weights, counts=counts)
    both, _ = losses.fusion_loss(fused, ir, vis, weights)
    assert total[0] == both[0]
    assert total[1] == 3 * terms["halos"][1] < both[1]
    total[1].backward()
    alone = torch.autograd.grad(3 * losses.halos(fused[1:], ir[1:], vis[1:]).sum(), fused)[0]
    assert torch.allclose(fused.grad, alone)


@settings(max_examples=15, deadline=None)
@given(height=st.integers(41, 60), width=st.integers(41, 60), flat=st.booleans(), seed=st.integers(0, 99))
def test_every_term_is_finite_at_any_size_even_where_nothing_is(height: int, width: int, flat: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    ir, vis, fused = torch.rand(3, 1, 1, height, width, generator=generator) * (0 if flat else 1)
    fused = fused.clone().requires_grad_()
    total, terms = losses.fusion_loss(fused, ir, vis, dict.fromkeys(losses.TERMS, 1.0), by=ir)
    assert terms.keys() == set(losses.TERMS)
    total.sum().backward()
    assert total.isfinite().all()
    assert fused.grad is not None
    assert fused.grad.isfinite().all()
    assert min(float(term.detach()) for term in terms.values()) >= 0


def test_taught_is_the_squared_distance_within_the_margin() -> None:
    ir, vis = scene()
    fused, by = ir.clone(), ir.clone()
    by[..., 4, 5] += 0.5
    by[..., 0, 0] += 9  # in the margin
    height, width = ir.shape[-2] - 4, ir.shape[-1] - 4
    distance = 0.25 / (height * width) + 0.5 * 0.5 / (height * (width - 1)) + 0.5 * 0.5 / ((height - 1) * width)
    total, terms = losses.fusion_loss(fused, ir, vis, {"taught": 3.0}, by=by, margin=2)
    assert terms["taught"].tolist() == pytest.approx([distance] * len(ir))
    assert total.tolist() == pytest.approx([3 * distance] * len(ir))
    with pytest.raises(ValueError, match="taught needs what the teacher made"):
        losses.fusion_loss(fused, ir, vis, {"taught": 3.0})


def test_blend_moves_from_one_set_of_weights_to_the_other() -> None:
    assert losses.blend({"a": 4.0}, {"a": 2.0, "b": 8.0}, 0.25) == {"a": 3.5, "b": 2.0}
    assert losses.blend({"a": 4.0}, {"b": 8.0}, 1.0) == {"a": 0.0, "b": 8.0}
