"""Inference in bands of rows equals the network as a whole, at any size and for any number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from cmmdl.models import cmmdl_cpu
from cmmdl.models.cmmdl import CMMDL, SDLB, CMMDLConfig
from cmmdl.models.crew import share
from cmmdl.models.layers import folded

TINY = {"width": 8, "blocks": 1, "heads": 2}


@pytest.fixture
def small_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands of a few rows for pictures of some dozen pixels."""
    monkeypatch.setattr(cmmdl_cpu, "BAND_PIXELS", 40)
    monkeypatch.setattr(cmmdl_cpu, "LEAST_ROWS", 1)
    monkeypatch.setattr(cmmdl_cpu, "CHANNELS", 3)
    monkeypatch.setattr(cmmdl_cpu, "FEW_PIXELS", 1)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
        assert cmmdl_cpu.worthwhile(ir)
        banded = model(ir, vis)
    torch.testing.assert_close(banded, whole(model, ir, vis), rtol=0, atol=1e-9)


def test_border_and_black_in_bands_equal_the_whole(small_bands: None) -> None:
    model = network(border=3, black=2)
    ir, vis = torch.rand(2, 2, 1, 23, 19, dtype=torch.float64)
    ir[..., 4:15, 5:] = vis[..., 4:15, 5:] = 1 / 255
    with torch.no_grad():
        banded = model(ir, vis)
    torch.testing.assert_close(banded, whole(model, ir, vis), rtol=0, atol=1e-9)
    assert (banded[..., 4:15, 5:] <= 2 / 255 + 1e-9).all()
    assert banded[..., :4, :].min() > 2 / 255


@pytest.mark.parametrize("off", ["sfca_frequency", "sdlb", "fdlb", "hdffb_attention"])
def test_ablations_in_bands_equal_the_whole(small_bands: None, off: str) -> None:
    model = network(**{off: False})
    ir, vis = torch.rand(2, 1, 1, 25, 18, dtype=torch.float64)
    with torch.inference_mode():
        banded = model(ir, vis)
    torch.testing.assert_close(banded, whole(model, ir, vis), rtol=0, atol=1e-9)


def test_single_precision_in_bands(small_bands: None) -> None:
    model = network()
    ir, vis = torch.rand(2, 1, 1, 33, 27, dtype=torch.float64)
    exact = whole(model, ir, vis)
    with torch.inference_mode():
        banded = model.float()(ir.float(), vis.float())
    assert (banded - exact).abs().max() <= 1e-4


def test_the_number_of_threads_changes_no_bit(small_bands: None) -> None:
    model = network().float()
    ir, vis = torch.rand(2, 2, 1, 33, 27)
    results = []
    for threads in (1, 2, 3, 7):
        with torch_threads(threads), torch.inference_mode():
            results.append(model(ir, vis))
            assert torch.get_num_threads() == threads
    for result in results[1:]:
        assert torch.equal(result, results[0])


def test_result_does_not_depend_on_the_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    ir, vis = torch.rand(2, 1, 1, 40, 33, dtype=torch.float64)
    monkeypatch.setattr(cmmdl_cpu, "LEAST_ROWS", 1)
    results = []
    for pixels in (33, 100, 1000):
        monkeypatch.setattr(cmmdl_cpu, "BAND_PIXELS", pixels)
        with torch.inference_mode():
            results.append(model(ir, vis))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("coupling", ["released", "invertible"])
def test_halo_of_the_spatial_block_is_enough_and_no_more(coupling: str) -> None:
    torch.manual_seed(0)
    block = SDLB(8, coupling).double()
    x = torch.randn(1, 8, 20, 5, dtype=torch.float64)
    changed = x.clone()
    changed[:, :, 0] += 1
    with torch.no_grad():
        difference = (block(changed) - block(x)).abs().amax(dim=(0, 1, 3))
    assert difference[: cmmdl_cpu.SDLB_HALO + 1].min() > 0
    assert difference[cmmdl_cpu.SDLB_HALO + 1 :].max() == 0


@torch.no_grad()
def test_too_small_a_halo_is_seen() -> None:
    """The comparisons above can fail: a dense branch that begins a row too near gives another result."""
    hdffb = network().hdffb
    kernels = [folded(unit.conv, [unit.norm1, unit.norm2]) for unit in hdffb.dense]
    first = torch.rand(1, 8, 30, 9, dtype=torch.float64)
    band = cmmdl_cpu.Band(10, 20, 30)
    maps = [first]
    for unit in hdffb.dense:
        maps.append(unit(maps))
    rows = band.wider(4)
    enough = cmmdl_cpu.dense(kernels, rows.of(first), rows, band)
    torch.testing.assert_close(enough, band.of(maps[-1]))
    torn = first.clone()
    torn[:, :, :7] = 0
    assert (cmmdl_cpu.dense(kernels, rows.of(torn), rows, band) - enough).abs().max() > 1e-6


class Worthwhile(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        assert not cmmdl_cpu.worthwhile(x)
        return 2 * x


def test_training_tracing_and_small_pictures_take_no_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("in bands")

    monkeypatch.setattr(cmmdl_cpu, "fuse", refuse)
    model, small = network().float(), torch.rand(1, 1, 9, 9)
    with torch.no_grad():
        model(small, small)
    monkeypatch.setattr(cmmdl_cpu, "BAND_PIXELS", 40)
    model(small, small)
    with torch.no_grad():
        model.train()(*torch.rand(2, 2, 1, 9, 9))
        model.eval()
        torch.export.export(Worthwhile(), (small,))
        model.to("meta")(small.to("meta"), small.to("meta"))
        with pytest.raises(AssertionError, match="in bands"):
            network().float()(small, small)


def test_planar_maps_are_wide_and_their_channels_spaced() -> None:
    x = torch.randn(1, 3, 32, 32).to(torch.bfloat16)
    planar = cmmdl_cpu.planar(x)
    assert planar.dtype == torch.float32
    spaced = 1024 + cmmdl_cpu.SPACING
    assert planar.shape == x.shape
    assert planar.stride()[1:] == (spaced, 32, 1)


def test_bfloat16_in_bands(small_bands: None) -> None:
    model = network().float()
    ir, vis = torch.rand(2, 1, 1, 33, 27)
    results = []
    for threads in (1, 2):
        with torch_threads(threads), torch.inference_mode():
            single = model(ir, vis)
            with torch.autocast("cpu", torch.bfloat16):
                results.append(model(ir, vis))
    assert torch.equal(*results)
    assert results[0].dtype == torch.float32
    assert 1e-5 < (results[0] - single).abs().mean() < 4e-3


@pytest.mark.parametrize("threads", [1, 3])
def test_jobs_are_done_in_the_callers_modes_and_given_in_order(threads: int) -> None:
    def look(job: int) -> tuple:
        modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
        return job, torch.get_num_threads(), modes

    with torch_threads(threads):
        with torch.no_grad():
            plain = share(look, range(9))
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            special = share(look, range(9))
    assert plain == [(job, 1, (False, False, False)) for job in range(9)]
    assert special == [(job, 1, (False, True, True)) for job in range(9)]


def test_a_failing_job_is_the_callers_error() -> None:
    def fail(job: int) -> None:
        raise MemoryError(str(job))

    with torch_threads(2), torch.no_grad(), pytest.raises(MemoryError, match="0"):
        share(fail, range(5))
