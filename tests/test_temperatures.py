"""Temperatures on the pixels of the fused picture, as TIFF and report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from cmmdl.errors import UsageError, UserError
from cmmdl.files.metadata import Metadata, history_of
from cmmdl.fusion.temperatures import (
    Box,
    Spot,
    filled,
    from_unit,
    in_unit,
    parse_box,
    parse_spot,
    report,
    sampled,
    temperature_tiff,
)

CELSIUS = np.array([[10, 20, 30], [40, 50, np.nan]], np.float32)


def places(*pairs: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.array(pairs, np.float32).T[:, None]
    return x, y


def test_bilinear_by_hand() -> None:
    x, y = places((0, 0), (0.5, 0), (0.25, 0.5), (-0.5, 0), (1, 1), (2, 0.5), (-0.6, 0), (2.51, 0), (0, 1.51))
    found = sampled(CELSIUS, x, y)[0]
    np.testing.assert_allclose(found[:5], [10, 15, 27.5, 10, 50])
    assert np.isnan(found[5:]).all()  # a missing neighbour, and beyond the frame


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 10**6))
def test_between_the_extremes_of_four_neighbours(height: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    celsius = random.normal(20, 40, (height, width)).astype(np.float32)
    x = random.uniform(-0.5, width - 0.5, (4, 5)).astype(np.float32)
    y = random.uniform(-0.5, height - 0.5, (4, 5)).astype(np.float32)
    found = sampled(celsius, x, y)
    for value, u, v in zip(found.flat, x.flat, y.flat, strict=True):
        rows, columns = (
            [int(np.clip(f(v), 0, height - 1)) for f in (np.floor, np.ceil)],
            [int(np.clip(f(u), 0, width - 1)) for f in (np.floor, np.ceil)],
        )
        four = celsius[np.ix_(rows, columns)]
        assert four.min() - 1e-3 <= value <= four.max() + 1e-3


def test_own_grid_is_exact() -> None:
    x, y = np.meshgrid(np.arange(3, dtype=np.float32), np.arange(2, dtype=np.float32))
    np.testing.assert_array_equal(sampled(CELSIUS, x, y), CELSIUS)


def test_units() -> None:
    assert (in_unit(100.0, "F"), in_unit(-40.0, "F"), in_unit(0.0, "K"), in_unit(7.0, "C")) == (212, -40, 273.15, 7)
    for unit in ("C", "F", "K"):
        assert from_unit(in_unit(36.6, unit), unit) == pytest.approx(36.6)


def test_report_by_hand() -> None:
    said = report(CELSIUS, spots=(Spot(1, 0), Spot(2, 1)), boxes=(Box(1, 0, 2, 2),))
    assert (said["unit"], said["size"], said["covered"]) == ("C", [3, 2], 0.8333)
    assert (said["min"], said["max"], said["mean"]) == (10, 50, 30)
    assert said["hottest"] == {"x": 1, "y": 1, "temperature": 50}
    assert said["coldest"] == {"x": 0, "y": 0, "temperature": 10}
    assert [spot["temperature"] for spot in said["spots"]] == [20, None]
    assert said["boxes"][0]["mean"] == pytest.approx(33.333)
    assert said["boxes"][0]["coldest"] == {"x": 1, "y": 0, "temperature": 20}
    assert report(CELSIUS, unit="F")["max"] == 122


def test_report_of_nothing() -> None:
    said = report(np.full((2, 2), np.nan, np.float32))
    assert (said["max"], said["hottest"], said["covered"]) == (None, None, 0)


@pytest.mark.parametrize(("spots", "boxes", "word"), [
    ((Spot(3, 0),), (), "--spot 3,0"), ((Spot(0, 2),), (), "--spot 0,2"), ((), (Box(2, 0, 2, 1),), "--box 2,0,2,1"),
])  # fmt: skip
def test_outside(spots: tuple[Spot, ...], boxes: tuple[Box, ...], word: str) -> None:
    with pytest.raises(UserError, match=f"a.jpg is 3x2: {word}"):
        report(CELSIUS, spots=spots, boxes=boxes, name="a.jpg")


def test_words_of_the_command_line() -> None:
    assert parse_spot("3, 4") == Spot(3, 4)
    assert parse_box("1,2,3,4") == Box(1, 2, 3, 4)
    for text in ("3", "3,4,5", "a,b", "-1,4", "1.5,2"):
        with pytest.raises(UsageError, match="--spot"):
            parse_spot(text)
    for text in ("1,2,3", "1,2,0,4", "1,2,3,4,5"):
        with pytest.raises(UsageError, match="--box"):
            parse_box(text)


def test_tiff(tmp_path: Path) -> None:
    path = tmp_path / "t.tif"
    path.write_bytes(temperature_tiff(CELSIUS, Metadata(), {"software": "CMMDL 1"}))
    found = tifffile.imread(path)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, CELSIUS)
    assert history_of(path)["values"] == "degrees Celsius"
    with tifffile.TiffFile(path) as file:
        assert str(file.pages.first.tags.valueof("GDAL_NODATA")).strip("\0") == "nan"


def test_filled_with_the_nearest() -> None:
    np.testing.assert_array_equal(filled(CELSIUS)[1], [40, 50, 30] if filled(CELSIUS)[1, 2] == 30 else [40, 50, 50])
    np.testing.assert_array_equal(filled(CELSIUS)[np.isfinite(CELSIUS)], CELSIUS[np.isfinite(CELSIUS)])
