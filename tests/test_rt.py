"""The small network: its parts against independent computations, any size, and how far a pixel reaches."""

from __future__ import annotations

import pytest
import scipy.fft
import torch

from cmmdl.models.rt import CMMDLRT, BlockSpectrum, CMMDLRTConfig, RepConv, modulate


def network(**settings: int) -> CMMDLRT:
    """A network whose every weight matters; training starts from a last convolution of zeros."""
    torch.manual_seed(0)
    model = CMMDLRT(CMMDLRTConfig(**settings))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 8), (8, 8), (37, 51), (64, 40)])
def test_any_size(size: tuple[int, int]) -> None:
    ir, vis = torch.rand(2, 2, 1, *size)
    fused = network(width=8, spectrum=8)(ir, vis)
    assert fused.shape == ir.shape
    assert fused.min() >= 0
    assert fused.max() <= 1


def test_merged_convolutions_compute_the_same() -> None:
    model = network()
    merged = model.merged()
    assert not any(isinstance(module, RepConv) for module in merged.modules())
    ir, vis = torch.rand(2, 1, 1, 45, 62)
    torch.testing.assert_close(merged(ir, vis), model(ir, vis), rtol=0, atol=1e-6)
    assert isinstance(model.early[0], RepConv)  # the original is as it was


@pytest.mark.parametrize("outputs", [4, 6])
def test_three_branches(outputs: int) -> None:
    torch.manual_seed(1)
    conv, x = RepConv(4, outputs, dilation=2), torch.rand(1, 4, 9, 11)
    branches = conv.spatial(x) + conv.point(x) + (x if outputs == 4 else 0)
    # With dilation the kernel's middle is still the pixel itself.
    torch.testing.assert_close(conv(x), branches)


def test_block_spectrum_is_the_cosine_transform() -> None:
    image = torch.rand(1, 1, 16, 24)
    spectrum = BlockSpectrum()(image)
    assert spectrum.shape == (1, 64, 2, 3)
    block = scipy.fft.dctn(image[0, 0, 8:16, 16:24].double().numpy(), norm="ortho")
    expected = 2 * torch.from_numpy(abs(block)).flatten()
    expected[0] = image[0, 0, 8:16, 16:24].mean()
    torch.testing.assert_close(spectrum[0, :, 1, 2].double(), expected, rtol=0, atol=1e-5)


def test_modulation() -> None:
    x = torch.rand(1, 3, 8, 12)
    torch.testing.assert_close(modulate(x, torch.zeros(1, 6, 2, 3)), x)
    shift = torch.cat([torch.full((1, 3, 2, 3), -1e3), torch.full((1, 3, 2, 3), 0.25)], dim=1)
    torch.testing.assert_close(modulate(x, shift), torch.full_like(x, 0.25))


def test_an_untrained_network_gives_the_mean() -> None:
    ir, vis = torch.rand(2, 1, 1, 20, 20)
    torch.testing.assert_close(CMMDLRT().eval()(ir, vis), (ir + vis) / 2)


def test_reach() -> None:
    model = network().double().train()
    ir = torch.rand(1, 1, 240, 240, dtype=torch.float64, requires_grad=True)
    model(ir, torch.rand_like(ir))[0, 0, 116, 123].backward()
    assert ir.grad is not None
    rows, columns = ir.grad[0, 0].nonzero().unbind(1)
    reached = max(116 - rows.min(), rows.max() - 116, 123 - columns.min(), columns.max() - 123)
    assert 40 < reached <= model.reach


@pytest.mark.parametrize("outside", [0, 8])
def test_inner_part_of_a_tile_is_exact(outside: int) -> None:
    model, (ir, vis) = network(border=outside).double(), torch.rand(2, 1, 1, 320, 328, dtype=torch.float64)
    tile, border = slice(16, 16 + 280), model.reach
    inner = slice(border, 280 - border)
    whole = model(ir, vis)[..., 16 + border : 16 + 280 - border, 16 + border : 16 + 280 - border]
    part = model(ir[..., tile, tile], vis[..., tile, tile])[..., inner, inner]
    torch.testing.assert_close(part, whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("settings", [{"width": 0}, {"depth": 1}, {"spectrum": -1}, {"border": 4}])
def test_impossible_settings(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must be (at least|a multiple of 8)"):
        CMMDLRTConfig(**settings)


def test_without_the_frequency_path() -> None:
    model = network(spectrum=0)
    assert model.frequency is None
    assert model(*torch.rand(2, 1, 1, 16, 16)).shape == (1, 1, 16, 16)
