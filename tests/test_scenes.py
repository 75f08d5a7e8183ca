"""The synthetic pair: repeatable, any size, and each picture shows what the other lacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmmdl.files.images import read_image
from cmmdl.scenes import counts_of, radiometric_scene, synthetic_pair


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


def test_radiometric_scene() -> None:
    """As the grey scene, in °C; as counts within 14 bits and back to a fiftieth of a kelvin."""
    celsius, vis = radiometric_scene(60, 90, 4)
    ir, again = synthetic_pair(60, 90, 4)
    np.testing.assert_array_equal(vis, again)
    assert celsius.dtype == np.float32
    assert np.corrcoef(celsius.ravel(), ir.ravel())[0, 1] > 0.99
    assert -6 < celsius.min() < celsius.max() < 40
    counts = counts_of(celsius)
    assert counts.max() < 2**14
    np.testing.assert_allclose(counts * 0.04 - 273.15, celsius, atol=0.0201)
