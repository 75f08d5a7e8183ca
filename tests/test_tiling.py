"""Tiles cover every pixel with weights that sum to one, so that a pointwise method does not notice them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cmmdl.tiling import fuse_tiled, tile_count


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
