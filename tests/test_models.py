"""The network's blocks: shapes at any size, exact inverses, ablations, independence of layout and batch."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmmdl.models.cmmdl import CMMDL, SDLB, SFCA, CMMDLConfig
from cmmdl.models.fourier import Fourier
from cmmdl.models.layers import Pointwise, conv_norm, products, reflect_border
from cmmdl.models.networks import build
from cmmdl.models.weightless import keep_black

TINY = {"width": 8, "blocks": 1, "heads": 2}
sides = st.integers(1, 19)


def unsettle(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Batch norms with statistics that are not those of a new network."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.2)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
    return model


def test_released_network_has_the_published_number_of_used_parameters() -> None:
    assert sum(parameter.numel() for parameter in CMMDL().parameters()) == 1_142_722


@settings(max_examples=25, deadline=None)
@given(height=sides, width=sides, batch=st.integers(1, 3), coupling=st.sampled_from(["released", "invertible"]))
def test_any_size_gives_a_picture_of_that_size(height: int, width: int, batch: int, coupling: str) -> None:
    torch.manual_seed(0)
    model = CMMDL(CMMDLConfig(**TINY, coupling=coupling)).eval()
    with torch.inference_mode():
        fused = model(torch.rand(batch, 1, height, width), torch.rand(batch, 1, height, width))
    assert fused.shape == (batch, 1, height, width)
    assert fused.isfinite().all()
    assert 0 < fused.min() <= fused.max() < 1


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_flat_pictures_give_finite_output_and_gradients(value: float) -> None:
    torch.manual_seed(0)
    model = CMMDL(CMMDLConfig(**TINY)).train()
    flat = torch.full((2, 1, 12, 13), value)
    model(flat, flat).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize(
    "off",
    [c for n in (1, 2, 4) for c in itertools.combinations(("sfca_frequency", "sdlb", "fdlb", "hdffb_attention"), n)],
)
def test_every_block_can_be_switched_off_and_trained(off: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    model = CMMDL(CMMDLConfig(**TINY, **dict.fromkeys(off, False))).train()
    whole = CMMDL(CMMDLConfig(**TINY))
    assert sum(p.numel() for p in model.parameters()) < sum(p.numel() for p in whole.parameters())
    model(torch.rand(2, 1, 12, 15), torch.rand(2, 1, 12, 15)).mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 12), (20, 17)])
@pytest.mark.parametrize("kind", ["cmmdl", "cmmdl-rt"])
def test_a_border_is_repeated_around_the_picture_and_cut_off_again(kind: str, height: int, width: int) -> None:
    torch.manual_seed(0)
    settings = TINY if kind == "cmmdl" else {"width": 4, "depth": 2, "spectrum": 4}
    model, plain = build(kind, {**settings, "border": 8}).eval(), build(kind, settings).eval()
    for parameter in model.parameters():
        if not parameter.any():  # last layers that start at zero
            torch.nn.init.normal_(parameter, std=0.05)
    plain.load_state_dict(model.state_dict())
    ir, vis = torch.rand(2, 2, 1, height, width)
    rows, columns = (torch.arange(-8, n + 8).clamp(0, n - 1) for n in (height, width))
    wide = plain(ir[..., rows[:, None], columns], vis[..., rows[:, None], columns])
    torch.testing.assert_close(model(ir, vis), wide[..., 8 : 8 + height, 8 : 8 + width])
    torch.testing.assert_close(model.train()(ir, vis), plain.train()(ir, vis), rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["cmmdl", "cmmdl-rt"])
def test_what_is_black_in_both_sources_stays_black(kind: str) -> None:
    torch.manual_seed(0)
    settings = TINY if kind == "cmmdl" else {"width": 4, "depth": 2, "spectrum": 4}
    model, plain = build(kind, {**settings, "black": 2}).eval(), build(kind, settings).eval()
    plain.load_state_dict(model.state_dict())
    ir, vis = torch.rand(2, 2, 1, 16, 16)
    ir[..., 8:] = vis[..., 8:] = torch.arange(8) / 255
    ir[..., :8, 8:] = 0.5  # black in one source only
    fused, free = model(ir, vis), plain(ir, vis)
    black = torch.maximum(ir, vis) < 2.5 / 255
    assert black.nonzero()[:, 2:].tolist() == 2 * [[row, column] for row in range(8, 16) for column in range(8, 11)]
    assert (fused[black] <= 2 / 255 + 1e-9).all()
    assert torch.equal(fused[~black], free[~black])
    assert kind == "cmmdl-rt" or free[black].min() > 2 / 255, "without it the background would not be empty"
    for kind_of_float in (torch.float64, torch.bfloat16):  # where a level is not quite the float32 number
        held = keep_black(
            torch.ones(1, 1, 1, 4, dtype=kind_of_float), *(torch.arange(4).to(kind_of_float) / 255,) * 2, 2
        )
        assert held.flatten().lt(0.01).tolist() == [True, True, True, False]
    assert torch.equal(model.train()(ir, vis), plain.train()(ir, vis))


def test_a_batch_equals_its_pictures_one_by_one() -> None:
    torch.manual_seed(0)
    model = unsettle(CMMDL(CMMDLConfig(**TINY))).double().eval()
    ir, vis = torch.rand(2, 3, 1, 14, 11, dtype=torch.float64)
    with torch.inference_mode():
        together = model(ir, vis)
        apart = torch.cat([model(ir[n : n + 1], vis[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-9)


def test_pointwise_is_a_1x1_convolution() -> None:
    torch.manual_seed(0)
    layer, x = Pointwise(6, 5, bias=True), torch.randn(2, 6, 4, 3)
    torch.testing.assert_close(layer(x), torch.nn.functional.conv2d(x, layer.weight, layer.bias))
    assert layer(x).is_contiguous(memory_format=torch.channels_last)


def test_folded_batch_norms_equal_separate_ones() -> None:
    torch.manual_seed(0)
    conv, norms = torch.nn.Conv2d(6, 5, 3, padding=1), [torch.nn.BatchNorm2d(5), torch.nn.BatchNorm2d(5)]
    stack = unsettle(torch.nn.Sequential(conv, *norms)).double().eval()
    x = torch.randn(2, 6, 7, 9, dtype=torch.float64)
    torch.testing.assert_close(conv_norm([x[:, :2], x[:, 2:]], conv, norms), stack(x))


@settings(max_examples=25, deadline=None)
@given(height=sides, width=sides, seed=st.integers(0, 99), strength=st.floats(0.1, 3))
def test_invertible_coupling_is_undone_by_its_inverse(height: int, width: int, seed: int, strength: float) -> None:
    torch.manual_seed(seed)
    block = SDLB(16, "invertible")
    x = strength * torch.randn(2, 16, height, width)
    with torch.no_grad():
        single = block.inverse(block(x))
        double = block.double()
        exact = double.inverse(double(x.double()))
    assert (single - x).abs().max() <= 1e-4 * x.abs().max()
    assert (exact - x.double()).abs().max() <= 1e-10


def test_invertible_coupling_changes_both_halves_and_released_has_no_inverse() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 16, 9, 9)
    change = (SDLB(16, "invertible")(x) - x).abs()
    assert change[:, :8].max() > 0.1
    assert change[:, 8:].max() > 0.1
    with pytest.raises(ValueError, match="invertible"):
        SDLB(16, "released").inverse(x)


def test_border_is_reflected_and_replicated_along_a_single_pixel() -> None:
    x = torch.arange(3.0).view(1, 1, 1, 3)
    row = torch.tensor([1.0, 0.0, 1.0, 2.0, 1.0])
    torch.testing.assert_close(reflect_border(x)[0, 0], row.expand(3, 5))
    torch.testing.assert_close(reflect_border(x.mT)[0, 0], row.expand(3, 5).mT)


def test_circular_convolution_against_a_sum() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 1, 1, 4, 5, dtype=torch.float64)
    direct = torch.zeros_like(a)
    for y, x in itertools.product(range(4), range(5)):
        direct += b[0, 0, y, x] * torch.roll(a, (y, x), (2, 3))
    a.requires_grad_()
    torch.testing.assert_close(Fourier().convolve(a, b), direct)
    with torch.no_grad():
        torch.testing.assert_close(Fourier().convolve(a, b), direct)


def test_gradients_of_the_circular_convolution() -> None:
    torch.manual_seed(0)
    a, b = (torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(Fourier().convolve, (a, b))


def test_attention_matrix_equals_heads_one_by_one() -> None:
    torch.manual_seed(0)
    sfca = SFCA(8, 2).double()
    q, k, v = torch.randn(3, 2, 8, 5, 6, dtype=torch.float64)
    heads = []
    for n in range(2):
        x, y, z = (t[:, 4 * n : 4 * n + 4].flatten(2) for t in (q, k, v))
        x, y = x / x.norm(dim=-1, keepdim=True), y / y.norm(dim=-1, keepdim=True)
        heads.append(torch.softmax(x @ y.mT * sfca.temperature[0, n], -1) @ z)
    expected = sfca.project(torch.cat(heads, 1).view(2, 8, 5, 6))
    ours = (sfca.attention(*products(q, k)) @ v.flatten(2)).view(2, 8, 5, 6)
    torch.testing.assert_close(ours, expected)


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 12), width=st.integers(1, 12))
def test_polar_spectrum_of_a_real_image_is_undone(height: int, width: int) -> None:
    x = torch.randn(
        1, 2, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(height * 13 + width)
    )
    amplitude, phase = Fourier().polar(x)
    torch.testing.assert_close(Fourier().picture(amplitude, phase, (height, width)), x, rtol=0, atol=1e-6)


def test_phase_of_real_bins_is_zero_or_plus_pi() -> None:
    _, phase = Fourier().polar(-torch.rand(1, 4, 6, 8))
    assert torch.equal(phase[..., 0, 0], torch.full((1, 4), torch.pi))
    corners = phase[..., ::3, ::4]
    assert ((corners == 0) | (corners == torch.pi)).all()


@pytest.mark.parametrize(
    "bad", [{"width": 7}, {"width": 12, "heads": 8}, {"coupling": "reversible"}, {"border": -1}, {"black": 256}]
)
def test_impossible_configurations_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="must be"):
        CMMDLConfig(**bad)
