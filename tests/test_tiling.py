"""Tiles cover every pixel with weights that sum to one, so that a pointwise method does not notice them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cmmdl import Fuser
from cmmdl.fusion.tiling import exact_tile, exact_tile_count, fuse_tiled, fuse_tiled_exactly, tile_count
from cmmdl.models.rt import CMMDLRT, CMMDLRTConfig


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.data())
def test_a_pointwise_method_is_exact(height: int, width: int, tile: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, tile - 1))
    if tile - overlap < 3:
        overlap = max(0, tile - 3)  # keeps the number of tiles small
    ir, vis = torch.rand(2, 2, 1, height, width)
    sizes = list[torch.Size]()

    def maximum(a: Tensor, b: Tensor) -> Tensor:
        sizes.append(a.shape)
        return a.maximum(b)

    fused = fuse_tiled(maximum, ir, vis, tile=tile, overlap=overlap)
    torch.testing.assert_close(fused, ir.maximum(vis), atol=1e-6, rtol=0)
    assert set(sizes) == {(2, 1, min(tile, height), min(tile, width))}
    assert len(sizes) == tile_count(height, width, tile=tile, overlap=overlap)


def test_neighbours_overlap_as_asked() -> None:
    covered = torch.zeros(1, 1, 10, 301)
    fuse_tiled(lambda a, b: a.add_(1) * 0, covered, torch.zeros_like(covered), tile=64, overlap=16)
    row = covered[0, 0, 0]
    assert row.min() == 1
    changes = (row[1:] != row[:-1]).nonzero().flatten() + 1  # where tiles begin and end
    begins, ends = changes[0::2], changes[1::2]
    assert (ends - begins >= 16).all()
    assert tile_count(10, 301, tile=64, overlap=16) == 6


def test_tiles_that_differ_are_blended_smoothly() -> None:
    values = iter((0.0, 1.0))
    picture = torch.zeros(1, 1, 4, 96)
    fused = fuse_tiled(lambda a, b: torch.full_like(a, next(values)), picture, picture, tile=64, overlap=32)
    row = fused[0, 0, 0]
    assert (row[:32] == 0).all()
    torch.testing.assert_close(row[64:], torch.ones(32))
    steps = row[1:] - row[:-1]
    assert (steps >= 0).all()
    assert steps.max() < 0.09  # a seam would be a step of 1


@pytest.mark.parametrize(("tile", "overlap"), [(0, 0), (8, 8), (8, -1)])
def test_senseless_tiles_are_refused(tile: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap < tile"):
        fuse_tiled(torch.maximum, torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4), tile=tile, overlap=overlap)


@pytest.mark.parametrize(("tile", "height", "width"), [(200, 210, 333), (203, 390, 64)])
def test_a_network_that_sees_only_so_far_is_exact(tile: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    model = CMMDLRT(CMMDLRTConfig(width=4, depth=2, spectrum=4)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    ir, vis = torch.rand(2, 1, 1, height, width)
    calls = list[int]()

    def run(a: Tensor, b: Tensor) -> Tensor:
        calls.append(a.shape[-1])
        return model(a, b)

    with torch.no_grad():
        whole = model(ir, vis)
        tiled = fuse_tiled_exactly(run, ir, vis, tile=tile, reach=model.reach)
        blended = fuse_tiled(model, ir, vis, tile=tile, overlap=64)
    assert len(calls) == exact_tile_count(height, width, tile=tile, reach=model.reach) > 1
    torch.testing.assert_close(tiled, whole, rtol=0, atol=2e-6)
    assert (blended - whole).abs().max() > 1e-4  # so the test can tell
    fused = Fuser(model, backend="torch", tile=tile).fuse_luma(ir, vis)
    torch.testing.assert_close(fused, whole, rtol=0, atol=2e-6)


def test_what_is_black_stays_black_in_tiles() -> None:
    torch.manual_seed(0)
    model = CMMDLRT(CMMDLRTConfig(width=4, depth=2, spectrum=4, border=8, black=2)).eval()
    torch.nn.init.constant_(model.tail.bias, 0.5)  # without `black` nothing would stay black
    ir, vis = torch.rand(2, 1, 1, 210, 420)
    black = torch.zeros_like(ir, dtype=torch.bool)
    black[..., 40:160, 100:300] = True
    ir[black], vis[black] = 1 / 255, 2 / 255
    for tile in (None, 200):  # one of their seams lies within the black part
        fused = Fuser(model, backend="torch", tile=tile).fuse_luma(ir, vis)
        assert (fused[black] <= 2 / 255 + 1e-6).all()
        assert fused[~black].mean() > 0.3


def test_too_small_for_exact_tiles() -> None:
    picture = torch.zeros(1, 1, 300, 300)
    with pytest.raises(ValueError, match="it must be at least 176"):
        fuse_tiled_exactly(torch.maximum, picture, picture, tile=exact_tile(84) - 1, reach=84)
