"""Bands: the network in bands equals the network as a whole, and its maps lie in places of their own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cmmdl import allocator
from cmmdl.models import bands
from cmmdl.models.bands import in_bands, over_channels, sum_over_bands
from cmmdl.models.cmmdl import CMMDL, CMMDLConfig
from cmmdl.models.sdlb import HALO, SDLB

TINY = {"width": 8, "blocks": 1, "heads": 2}


@pytest.fixture
def small_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands of a few rows for pictures of some dozen pixels."""
    monkeypatch.setattr(bands, "BAND_PIXELS", 40)
    monkeypatch.setattr(bands, "LEAST_ROWS", 1)
    monkeypatch.setattr(bands, "CHANNELS", 3)


def network(**options: object) -> CMMDL:
    torch.manual_seed(0)
    return CMMDL(CMMDLConfig(**TINY, **options)).double().eval()


def whole(model: CMMDL, ir: Tensor, vis: Tensor) -> Tensor:
    """The result without bands, which a recorded gradient switches off."""
    with torch.enable_grad():
        return model(ir, vis).detach()


@pytest.mark.parametrize("size", [(1, 41), (41, 1), (2, 37), (23, 19), (31, 47), (1, 400)])
@pytest.mark.parametrize("coupling", ["released", "invertible"])
def test_network_in_bands_equals_the_whole(small_bands: None, size: tuple[int, int], coupling: str) -> None:
    model = network(coupling=coupling)
    ir, vis = torch.rand(2, 2, 1, *size, dtype=torch.float64)
    with torch.no_grad():
        assert bands.worthwhile(ir)
        banded = model(ir, vis)
    torch.testing.assert_close(banded, whole(model, ir, vis), rtol=0, atol=1e-9)


@pytest.mark.parametrize("off", ["sfca_frequency", "sdlb", "fdlb", "hdffb_attention"])
def test_ablations_in_bands_equal_the_whole(small_bands: None, off: str) -> None:
    model = network(**{off: False})
    ir, vis = torch.rand(2, 1, 1, 25, 18, dtype=torch.float64)
    with torch.inference_mode():
        banded = model(ir, vis)
    torch.testing.assert_close(banded, whole(model, ir, vis), rtol=0, atol=1e-9)


@pytest.mark.parametrize("threads", [1, 2])
def test_single_precision_in_bands(small_bands: None, threads: int) -> None:
    model = network()
    ir, vis = torch.rand(2, 1, 1, 33, 27, dtype=torch.float64)
    exact = whole(model, ir, vis)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            banded = model.float()(ir.float(), vis.float())
    finally:
        torch.set_num_threads(before)
    assert (banded - exact).abs().max() <= 1e-4


def test_result_does_not_depend_on_the_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    ir, vis = torch.rand(2, 1, 1, 40, 33, dtype=torch.float64)
    monkeypatch.setattr(bands, "LEAST_ROWS", 1)
    results = []
    for pixels in (33, 100, 1000):
        monkeypatch.setattr(bands, "BAND_PIXELS", pixels)
        with torch.inference_mode():
            results.append(model(ir, vis))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=0, atol=1e-9)


def test_halo_of_the_spatial_block_is_enough() -> None:
    torch.manual_seed(0)
    block = SDLB(8, "invertible").double()
    x = torch.randn(1, 8, 20, 5, dtype=torch.float64)
    changed = x.clone()
    changed[:, :, 0] += 1
    with torch.no_grad():
        difference = (block(changed) - block(x)).abs().amax(dim=(0, 1, 3))
    assert difference[: HALO - 1].min() > 0
    assert difference[HALO + 1 :].max() == 0


def test_too_small_a_halo_is_seen(small_bands: None) -> None:
    """The comparison above can fail: one row too few of a 5x5 convolution changes the result."""
    x, kernel = torch.randn(1, 1, 30, 9), torch.randn(1, 1, 5, 5)
    with torch.no_grad():
        expected = F.conv2d(x, kernel, padding=2)
        enough, short = (in_bands(lambda x: F.conv2d(x, kernel, padding=2), x, halo=halo) for halo in (2, 1))
    torch.testing.assert_close(enough, expected)
    assert (short - expected).abs().max() > 0.1


def test_several_results_and_places_to_put_them(small_bands: None) -> None:
    a, b = torch.randn(2, 1, 3, 30, 9)
    with torch.no_grad():
        total, difference = in_bands(lambda a, b: (a + b, a - b), a, b)
        assert torch.equal(total, a + b)
        assert torch.equal(difference, a - b)
        kept, expected = a.clone(), a + b
        assert in_bands(lambda a, b: (a + b,), kept, b, into=[kept])[0] is kept
        assert torch.equal(kept, expected)
        assert torch.equal(over_channels(torch.mul, a, b), a * b)


def test_sums_over_bands(small_bands: None) -> None:
    x = torch.randn(2, 3, 31, 7, dtype=torch.float64)
    with torch.no_grad():
        (total,) = sum_over_bands(lambda x: (x * x,), lambda y: (y.sum(dim=(2, 3)),), x, halo=1)
    torch.testing.assert_close(total, x.square().sum(dim=(2, 3)))


def test_tracing_and_training_take_no_bands(small_bands: None) -> None:
    class Doubled(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return in_bands(lambda x: 2 * x, x)

    x = torch.randn(1, 1, 30, 9)
    assert not bands.worthwhile(x)
    with torch.no_grad():
        program = torch.export.export(Doubled(), (x,), dynamic_shapes=({2: torch.export.Dim("height", min=2)},))
        names = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
        assert names == ["aten.mul.Tensor"]
        assert program.module()(torch.ones(1, 1, 50, 9)).shape == (1, 1, 50, 9)


def test_places_are_used_again_but_not_while_a_map_lies_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_kept", [])
    size = (1, 16, 512, 513)
    first = allocator.room(size, torch.float32, torch.channels_last)
    assert first.is_contiguous(memory_format=torch.channels_last)
    view = first[:, :, 3:5]
    place = first.data_ptr()
    del first
    second = allocator.room(size, torch.float32, torch.contiguous_format)
    assert second.is_contiguous()
    assert second.data_ptr() != place
    del view, second
    assert len(allocator._kept) == 2
    third = allocator.room((2, 16, 512, 257), torch.float32, torch.contiguous_format)
    assert len(allocator._kept) == 1
    del third
    larger = allocator.room((1, 64, 512, 512), torch.float32, torch.contiguous_format)
    assert larger.shape == (1, 64, 512, 512)
    assert not allocator._kept


def test_planar_maps_are_wide_and_their_channels_spaced(small_bands: None) -> None:
    x = torch.randn(2, 3, 32, 32).to(torch.bfloat16)
    with torch.no_grad():
        planar = in_bands(lambda x: x * 2, x, planar=True)
        assert planar.dtype == torch.float32
        assert planar.stride() == (3 * (1024 + bands.SPACING), 1024 + bands.SPACING, 32, 1)
        assert torch.equal(planar, 2 * x.float())


def test_bfloat16_in_bands(small_bands: None) -> None:
    model = network().float()
    ir, vis = torch.rand(2, 1, 1, 33, 27)
    with torch.inference_mode():
        single = model(ir, vis)
        with torch.autocast("cpu", torch.bfloat16):
            half = model(ir, vis)
    assert half.dtype == torch.float32
    assert 1e-5 < (half - single).abs().mean() < 4e-3
