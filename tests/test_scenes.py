"""The synthetic pair: repeatable, any size, and each picture shows what the other lacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmmdl.files.images import read_image
from cmmdl.scenes import synthetic_pair


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 70), st.integers(1, 200), st.integers(0, 2**32))
def test_any_size(height: int, width: int, seed: int) -> None:
    ir, vis = synthetic_pair(height, width, seed)
    assert (ir.shape, vis.shape) == ((height, width), (height, width, 3))
    assert ir.dtype == vis.dtype == np.uint8


def test_same_seed_same_scene() -> None:
    once, twice, other = (synthetic_pair(40, 60, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(once[0], twice[0])
    np.testing.assert_array_equal(once[1], twice[1])
    assert np.abs(once[0].astype(int) - other[0]).mean() > 3


@pytest.mark.parametrize("seed", range(4))
def test_each_shows_what_the_other_lacks(seed: int) -> None:
    ir, vis = synthetic_pair(240, 320, seed)
    grey = vis.mean(-1)
    people, lights = ir > 190, grey > 160
    assert people.mean() > 0.01
    assert grey[people].mean() < 130  # warm people are dark, or behind smoke
    assert lights.mean() > 0.002
    assert ir[lights].mean() < 190  # lamps and windows do not stand out from people
    assert vis.std(-1).mean() > 3  # it has colour


def test_no_size_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="0x5"):
        synthetic_pair(5, 0)


def test_the_bundled_example_is_this_scene() -> None:
    folder = Path(__file__).resolve().parents[1] / "examples"
    ir, vis = synthetic_pair(480, 640, seed=3)
    assert np.abs(read_image(folder / "ir.png").astype(int) - ir).mean() < 0.5
    assert np.abs(read_image(folder / "vis.png").astype(int) - vis).mean() < 0.5
