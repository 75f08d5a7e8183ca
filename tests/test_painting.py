"""Painting in palettes and the way back."""

from __future__ import annotations

import colorsys
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from cmmdl.errors import UsageError, UserError
from cmmdl.files import palettes
from cmmdl.files.palettes import (
    DEFAULT,
    PAINTS,
    indexed_values,
    known_palettes,
    own_table,
    paint_table,
    palette_by_name,
    recover,
    values_of,
)
from cmmdl.fusion.painting import MIDDLE, Alarm, beside, colours_of, legend, paint, parse_alarm
from cmmdl.scenes import synthetic_pair
from radiometric import write_flir

WEIGHTS = np.array([0.299, 0.587, 0.114])
KNOWN = list(known_palettes())


def scene() -> NDArray[np.uint8]:
    return synthetic_pair(120, 160, 2)[0]


def luma(rgb: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.tensordot(WEIGHTS, rgb, 1)


def chroma(rgb: NDArray[np.floating]) -> NDArray[np.floating]:
    return rgb - luma(rgb)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(PAINTS), st.integers(0, 10**6))
def test_hue_from_the_value_alone_luma_from_the_fused_picture(name: str, seed: int) -> None:
    random, table = np.random.default_rng(seed), paint_table(name)
    share = random.random((7, 9)).astype(np.float32)
    y = random.random((7, 9)).astype(np.float32)
    painted, palette = paint(y, share, table), colours_of(share, table)
    np.testing.assert_allclose(luma(painted), y, atol=2e-6)
    assert painted.min() >= 0
    assert painted.max() <= 1
    scale = np.abs(chroma(painted)).max(0) / np.abs(chroma(palette)).max(0).clip(1e-9)
    saturation = [np.abs(chroma(rgb)).max(0) for rgb in (painted, palette)]
    assert (saturation[0] <= saturation[1] + 1e-5).all()  # the palette's, or less
    np.testing.assert_allclose(chroma(painted), scale * chroma(palette), atol=1e-5)  # hue is the palette's
    room = np.minimum(1 - painted.max(0), painted.min(0))
    lowered = np.abs(chroma(painted) - chroma(palette)).max(0) > 1e-4
    assert (~lowered | (room < 1e-5)).all()  # less only where a channel touches its end


def test_painted_only_where_asked() -> None:
    y, share = np.full((2, 3), 0.4, np.float32), np.array([[0, 0.5, 1], [np.nan, 1, 1]], np.float32)
    over = np.stack([np.full((2, 3), value, np.float32) for value in (0.2, 0.4, 0.3)])
    where = np.array([[1, 1, 0], [1, 0, 0.5]], np.float32)
    found = paint(y, share, paint_table("iron"), over=over, where=where)
    everywhere = paint(y, share, paint_table("iron"))
    bare = over + (0.4 - luma(over))
    np.testing.assert_allclose(found[:, 0, 2], bare[:, 0, 2], atol=1e-6)
    np.testing.assert_allclose(found[:, 1, 0], bare[:, 1, 0], atol=1e-6)  # no value, no paint
    np.testing.assert_allclose(found[:, 0, 0], everywhere[:, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found[:, 1, 2], (everywhere[:, 1, 2] + bare[:, 1, 2]) / 2, atol=1e-6)


def test_the_default_is_safe_for_colour_blind_readers() -> None:
    """At one luma, blue against yellow rises all the way, which all but those without blue cones see."""
    bar = paint(
        np.full((1, 256), MIDDLE, np.float32), np.linspace(0, 1, 256, dtype=np.float32)[None], paint_table(DEFAULT)
    )
    blue_yellow = (bar[0] + bar[1]) / 2 - bar[2]
    assert (np.diff(blue_yellow[0]) > -0.004).all()
    assert blue_yellow[0, -1] - blue_yellow[0, 0] > 0.9
    red_green = np.abs(bar[0] - bar[1]).max()
    assert red_green < 0.25


def test_greys_are_no_paint() -> None:
    for name in ("grey", "gray", "white-hot", "blackhot"):
        with pytest.raises(UsageError, match="no hue"):
            paint_table(name)
    with pytest.raises(UsageError, match="unknown; choose one of bluegold, iron"):
        paint_table("irn")
    with pytest.raises(UserError, match="is grey"):
        own_table(np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1), "a.jpg")
    with pytest.raises(UserError, match="no palette of its own"):
        own_table(None, "a.jpg")


def test_alarms() -> None:
    values = np.array([4, 5, 37, 60, 61, np.nan], np.float32)
    assert parse_alarm("above:60").holds(values).tolist() == [False, False, False, True, True, False]
    assert parse_alarm("below:5").holds(values).tolist() == [True, True, False, False, False, False]
    assert parse_alarm("between:36:38").holds(values).tolist() == [False, False, True, False, False, False]
    assert parse_alarm("below:-5.5") == Alarm(-np.inf, -5.5)
    with pytest.raises(UsageError, match="the wrong way round; give the lower value first: between:36:38"):
        parse_alarm("between:38:36")
    for text in ("above", "above:x", "above:1:2", "between:1", "over:3", "above:nan", ""):
        with pytest.raises(UsageError, match="--alarm"):
            parse_alarm(text)


@pytest.mark.parametrize("height", [20, 64, 480, 1500])
def test_legend(height: int) -> None:
    strip = legend(height, paint_table("rainbow"), 20.25, 61.5, "C")
    assert strip.shape[0] == height
    if height > 40:
        bar = strip[2 * height // 3, strip.shape[1] // 8] / 255
        assert luma(bar) == pytest.approx(MIDDLE, abs=0.01)
    for dtype in (np.uint8, np.uint16, np.float32):
        white = np.full((height, 5, 3), {np.uint8: 255, np.uint16: 65535, np.float32: 1}[dtype], dtype)
        both = beside(white, strip)
        assert both.shape == (height, 5 + strip.shape[1], 3)
        assert both.dtype == dtype
        assert both[:, 5:].max() > 0.85 * white.max()  # the text is white in every depth


def test_legend_is_hot_at_the_top_and_grey_outside_the_alarm() -> None:
    strip = legend(400, paint_table("rainbow"), 0, 100, "C", Alarm(50, np.inf)) / 255
    column = strip[:, 10]
    assert colorsys.rgb_to_hsv(*column[60])[0] < 0.06 or colorsys.rgb_to_hsv(*column[60])[0] > 0.94  # red
    assert np.ptp(column[300]) < 0.01


@pytest.mark.parametrize("name", KNOWN)
def test_values_come_back_from_every_known_palette(name: str) -> None:
    values = scene()
    found = recover(known_palettes()[name][values])
    assert found is not None
    assert found.palette == name
    assert np.abs(found.values.astype(int) - values).max() <= 2


@pytest.mark.parametrize("name", [*PAINTS, "jet", "jet (Matplotlib)", "hot", "magma", "plasma"])
def test_values_come_back_from_a_jpeg(name: str) -> None:
    values, file = scene(), io.BytesIO()
    Image.fromarray(known_palettes()[name][values]).save(file, "JPEG", quality=90)
    found = recover(np.array(Image.open(file)))
    assert found is not None
    assert found.palette == name
    errors = np.abs(found.values.astype(int) - values)
    assert errors.mean() <= 3
    assert np.quantile(errors, 0.95) <= 8


@pytest.mark.parametrize("seed", range(3))
def test_natural_colours_are_no_palette(seed: int) -> None:
    vis = synthetic_pair(120, 160, seed)[1]
    bright = (255 * (vis / 255) ** 0.5).astype(np.uint8)
    assert recover(vis) is None
    assert recover(bright) is None
    assert recover(np.zeros((8, 8, 3), np.uint8) + np.array([200, 30, 30], np.uint8)) is None


def test_a_palette_of_its_own() -> None:
    ramp = np.linspace(0, 1, 120)
    own = np.stack([255 * ramp, 120 + 60 * np.sin(7 * ramp), 200 - 150 * ramp], 1).astype(np.uint8)
    values = scene()
    painted = own[np.rint(values / 255 * 119).astype(int)]
    assert recover(painted) is None or recover(painted).off > 2  # type: ignore[union-attr]
    found = recover(painted, own)
    assert found is not None
    assert found.palette == "its own"
    assert np.abs(found.values.astype(int) - values).max() <= 2


def test_stored_as_places_in_a_palette(tmp_path: Path) -> None:
    values = scene()
    image = Image.fromarray(values)
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette(known_palettes()["iron"].tobytes())
    image.save(tmp_path / "a.png")
    found = indexed_values(tmp_path / "a.png")
    assert found is not None
    np.testing.assert_array_equal(found.values, values)
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    image.save(tmp_path / "b.png")  # colours in any order, as graphics have them
    assert indexed_values(tmp_path / "b.png") is None


def test_palettes_by_name(tmp_path: Path) -> None:
    assert palette_by_name("Iron") is known_palettes()["iron"]
    with pytest.raises(UserError, match="--ir-palette irn is unknown"):
        palette_by_name("irn")
    pytest.importorskip("flyr")
    counts = (15000 + 12 * scene().astype(np.uint16)).astype(np.uint16)
    table = palette_by_name(str(write_flir(tmp_path / "a.jpg", counts)))
    assert table.shape == (224, 3)
    assert values_of(table[None], table)[0, [0, -1]].tolist() == [0, 255]


@pytest.mark.parametrize("name", ["inferno", "jet"])
def test_real_painted_pictures(shared: Path, name: str) -> None:
    painted = np.array(Image.open(shared / f"cases/palette/ir_{name}.png").convert("RGB"))
    black_hot = np.array(Image.open(shared / "cases/palette/ir_blackhot.png")).astype(int)
    found = palettes.recover(painted)
    assert found is not None
    assert found.palette == name
    assert np.abs(found.values - (255 - black_hot)).max() <= 2
