"""Radiometric JPEGs and °C TIFFs: right temperatures, or one line that says what is wrong."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

import radiometric
from cmmdl.errors import UsageError, UserError
from cmmdl.files.images import read_image
from cmmdl.files.jpeg import radiometric_maker
from cmmdl.files.swapped import in_order, roughness
from cmmdl.files.thermal import read_thermal
from cmmdl.scenes import synthetic_pair
from radiometric import PARAMETERS, flir_jpeg, png, write_flir

flyr = pytest.importorskip("flyr")


def counts_of(height: int = 60, width: int = 80) -> NDArray[np.uint16]:
    return (15000 + 12 * synthetic_pair(height, width, 3)[0].astype(np.uint16)).astype(np.uint16)


def photo_of() -> NDArray[np.uint8]:
    return synthetic_pair(120, 160, 3)[1]


def planck(counts: NDArray[np.uint16]) -> NDArray[np.float64]:
    """°C of a black body without air between: the formula written down anew."""
    radiance = PARAMETERS["r2"] * (counts + PARAMETERS["o"])
    return PARAMETERS["b"] / np.log(PARAMETERS["r1"] / radiance + PARAMETERS["f"]) - 273.15


def test_temperatures_are_those_of_the_library(tmp_path: Path) -> None:
    path = write_flir(tmp_path / "a.jpg", counts_of(), photo_of())
    thermal = read_thermal(path)
    np.testing.assert_allclose(thermal.celsius, flyr.unpack(str(path)).celsius, atol=1e-4)
    assert thermal.celsius.dtype == np.float32
    assert thermal.photo is not None
    assert thermal.photo.shape == (120, 160, 3)
    assert np.abs(thermal.photo.astype(int) - photo_of()).mean() < 3
    assert thermal.parameters["humidity_percent"] == 50
    assert thermal.palette is not None
    assert thermal.palette.shape == (224, 3)


def test_a_black_body_close_by(tmp_path: Path) -> None:
    path = write_flir(tmp_path / "a.jpg", counts_of(), emissivity=1.0, distance=0.0)
    np.testing.assert_allclose(read_thermal(path).celsius, planck(counts_of().astype(np.float64)), atol=0.01)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("swapped", [True, False])
def test_either_order_of_bytes(tmp_path: Path, order: str, swapped: bool) -> None:
    usual = read_thermal(write_flir(tmp_path / "a.jpg", counts_of()))
    other = read_thermal(write_flir(tmp_path / "b.jpg", counts_of(), order=order, swapped=swapped))
    np.testing.assert_array_equal(other.celsius, usual.celsius)
    assert other.parameters == usual.parameters


def test_raw_pictures_that_are_no_png(tmp_path: Path) -> None:
    usual = read_thermal(write_flir(tmp_path / "a.jpg", counts_of()))
    plain = read_thermal(write_flir(tmp_path / "b.jpg", counts_of(), raw=counts_of().astype("<u2").tobytes()))
    np.testing.assert_array_equal(plain.celsius, usual.celsius)


def test_conditions_reach_the_formula_in_its_units(tmp_path: Path) -> None:
    path = write_flir(tmp_path / "a.jpg", counts_of())
    ours = read_thermal(path, emissivity=0.7, distance=5, reflected=35, humidity=80)
    theirs = flyr.unpack(str(path)).adjust_metadata(
        True, emissivity=0.7, object_distance=5, reflected_apparent_temperature=308.15, relative_humidity=0.8
    )
    np.testing.assert_allclose(ours.celsius, theirs.celsius, atol=1e-4)
    assert np.abs(ours.celsius - read_thermal(path).celsius).max() > 1
    assert [ours.parameters[name] for name in ("emissivity", "distance_m", "reflected_c", "humidity_percent")] == [
        0.7, 5, 35, 80,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [("emissivity", 0), ("emissivity", 1.1), ("emissivity", float("nan")), ("distance", -1), ("humidity", 101),
     ("reflected", -300)],
)  # fmt: skip
def test_conditions_outside_are_refused(tmp_path: Path, name: str, value: float) -> None:
    path = write_flir(tmp_path / "a.jpg", counts_of())
    with pytest.raises(UsageError, match=f"--{name}"):
        read_thermal(path, **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"emissivity": 0.0}, "--emissivity"),
        ({"r1": 0.0}, "planck r1 0"),
        ({"b": 0.0}, "planck b 0"),
        ({"r2": 0.0}, "planck r2 0"),
        ({"f": 0.0}, "planck f 0"),
        ({"transmission": 0.0}, "transmission 0"),
        ({"humidity": 50.0}, "--humidity"),
        ({"o": -40000}, "below absolute zero"),
        ({"emissivity": float("nan")}, "--emissivity"),
    ],
)
def test_parameters_that_give_no_temperature(tmp_path: Path, changes: dict[str, float], word: str) -> None:
    path = write_flir(tmp_path / "bad.jpg", counts_of(), **changes)
    with pytest.raises(UserError, match=word) as caught:
        read_thermal(path)
    assert "bad.jpg" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_emissivity_of_zero_can_be_overruled(tmp_path: Path) -> None:
    right = read_thermal(write_flir(tmp_path / "a.jpg", counts_of()))
    mended = read_thermal(write_flir(tmp_path / "b.jpg", counts_of(), emissivity=0.0), emissivity=0.95)
    np.testing.assert_allclose(mended.celsius, right.celsius, atol=1e-4)


def test_wherever_a_file_is_cut_off(tmp_path: Path) -> None:
    """Refused or complete, never anything between."""
    whole = flir_jpeg(counts_of(), photo_of())
    usual, path = read_thermal(write_flir(tmp_path / "a.jpg", counts_of(), photo_of())), tmp_path / "cut.jpg"
    outcomes = set()
    for size in [*range(700, len(whole), 997), len(whole) - 700]:
        path.write_bytes(whole[:size])
        notes: list[str] = []
        try:
            thermal = read_thermal(path, note=notes.append)
        except UserError as error:
            outcomes.add("refused" if "cut.jpg" in str(error) else str(error))
            continue
        np.testing.assert_array_equal(thermal.celsius, usual.celsius)
        assert thermal.photo is not None
        np.testing.assert_array_equal(thermal.photo, usual.photo)
        assert any("cut off" in text for text in notes)
        outcomes.add("noted")
    assert outcomes == {"refused", "noted"}


def test_wrong_length_fields(tmp_path: Path) -> None:
    whole = bytearray(flir_jpeg(counts_of()))
    start = whole.index(b"FLIR\0\1") - 2
    for change in (-5, 5, 300):
        broken = bytearray(whole)
        broken[start : start + 2] = (int.from_bytes(whole[start : start + 2], "big") + change).to_bytes(2, "big")
        path = tmp_path / "length.jpg"
        path.write_bytes(broken)
        assert radiometric_maker(path) == "flir"
        with pytest.raises(UserError, match=r"length\.jpg.*(wrong|cut off)"):
            read_thermal(path)


def test_a_wrong_length_before_the_thermal_segments(tmp_path: Path) -> None:
    whole = flir_jpeg(counts_of())
    path = tmp_path / "before.jpg"
    path.write_bytes(whole[:2] + b"\xff\xe0\x00\x09JFIF\0" + whole[2:])
    assert radiometric_maker(path) == "flir"
    with pytest.raises(UserError, match="length field"):
        read_thermal(path)


@pytest.mark.parametrize("raw", [None, counts_of().astype("<u2").tobytes()])
def test_another_size_than_stated(tmp_path: Path, raw: bytes | None) -> None:
    path = write_flir(tmp_path / "size.jpg", counts_of(), raw=raw, stated=(90, 70))
    with pytest.raises(UserError, match=r"size\.jpg: its thermal picture is stated as 90x70"):
        read_thermal(path)


def test_a_record_beyond_the_end(tmp_path: Path) -> None:
    whole = bytearray(flir_jpeg(counts_of()))
    start = whole.index(b"FFF\0") + 64  # the entry of the raw picture
    whole[start + 16 : start + 20] = (10**7).to_bytes(4, "big")
    path = tmp_path / "record.jpg"
    path.write_bytes(whole)
    with pytest.raises(UserError, match="states a wrong length: its thermal picture"):
        read_thermal(path)


def test_a_photo_stored_as_luma_and_chroma(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FLIR's embedded PNGs are YCbCr whatever their header says."""

    def ycc(pixels: NDArray[Any], **_: Any) -> bytes:
        file, planes = io.BytesIO(), Image.fromarray(pixels).convert("YCbCr")
        Image.frombytes("RGB", planes.size, planes.tobytes()).save(file, "PNG")
        return file.getvalue()

    painted = radiometric.jpeg(photo_of())
    monkeypatch.setattr(radiometric, "jpeg", lambda p, **o: painted if o else ycc(p))
    thermal = read_thermal(write_flir(tmp_path / "a.jpg", counts_of(), photo_of()))
    assert thermal.photo is not None
    assert np.abs(thermal.photo.astype(int) - photo_of()).max() <= 3


def test_recognised_by_content(tmp_path: Path) -> None:
    path = write_flir(tmp_path / "photo.png", counts_of())
    assert radiometric_maker(path) == "flir"
    plain = tmp_path / "dji_photo.jpg"
    exif = Image.Exif()
    exif[271] = "DJI"
    Image.fromarray(photo_of()).save(plain, exif=exif)
    assert radiometric_maker(plain) is None
    for offset in (0, 32):
        mark = b"\xaa\x55\x12\x06" if offset == 0 else b"\xaa\x55\x38\x00"
        segment = b"\xff\xe4" + (2 + offset + 4).to_bytes(2, "big") + bytes(offset) + mark
        data = plain.read_bytes()
        radiometric = tmp_path / "DJI_T.jpg"
        radiometric.write_bytes(data[:2] + segment + data[2:])
        assert radiometric_maker(radiometric) == "dji"
        with pytest.raises(UserError, match=r"DJI_T\.jpg is a DJI radiometric JPEG.*TIFF"):
            read_thermal(radiometric)


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "flyr", None)
    with pytest.raises(UserError, match=r"pip install 'cmmdl\[thermal\]'"):
        read_thermal(write_flir(tmp_path / "a.jpg", counts_of()))


def test_celsius_tiff(tmp_path: Path) -> None:
    celsius = planck(counts_of().astype(np.float64)).astype(np.float32)
    celsius[3, 4] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", celsius)
    np.testing.assert_array_equal(read_thermal(tmp_path / "a.tif").celsius, celsius)
    with pytest.raises(UserError, match="--emissivity applies to radiometric JPEGs only"):
        read_thermal(tmp_path / "a.tif", emissivity=0.9)


def test_celsius_tiff_with_a_value_for_nothing(tmp_path: Path) -> None:
    celsius = np.full((8, 9), 20, np.float32)
    celsius[:2] = -10000
    tifffile.imwrite(tmp_path / "a.tif", celsius, extratags=[(42113, "s", 0, "-10000", True)])
    found = read_thermal(tmp_path / "a.tif").celsius
    assert np.isnan(found[:2]).all()
    assert (found[2:] == 20).all()


@pytest.mark.parametrize(
    ("pixels", "word"),
    [
        (np.full((4, 5), -300, np.float32), "below absolute zero"),
        (np.full((4, 5), 29315, np.float32), "no °C"),
        (np.full((4, 5), np.nan, np.float32), "no temperature"),
        (np.full((4, 5), 7000, np.uint16), "not temperatures"),
        (np.zeros((4, 5, 3), np.float32), "not temperatures"),
    ],
)
def test_what_is_no_celsius(tmp_path: Path, pixels: NDArray[Any], word: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    with pytest.raises(UserError, match=word):
        read_thermal(tmp_path / "a.tif")


def test_roughness_tells_the_order_of_bytes(tmp_path: Path) -> None:
    counts = counts_of()
    assert roughness(counts) < 0.5 < roughness(counts.byteswap())
    noise = np.random.default_rng(0).integers(0, 65536, (40, 50), np.uint16)
    for picture in (counts, noise, counts << 2, (counts >> 6) << 8, np.full((20, 20), 7, np.uint16)):
        assert not in_order(picture.astype(np.uint16))[1]
    (tmp_path / "raw.png").write_bytes(png(counts.byteswap()))
    notes: list[str] = []
    np.testing.assert_array_equal(read_image(tmp_path / "raw.png", note=notes.append), counts)
    assert any("raw.png: its bytes were swapped" in text for text in notes)


def test_a_real_raw_picture(shared: Path) -> None:
    right, swapped = (read_image(shared / f"cases/flir/{name}.png", note=lambda _: None)
                      for name in ("FLIR_raw", "FLIR_raw_swapped"))  # fmt: skip
    np.testing.assert_array_equal(right, swapped)


@pytest.mark.parametrize(("name", "low", "high"), [("FLIR.jpg", 25.9, 62.3), ("FLIR_E40.jpg", 17.9, 24.7)])
def test_real_cameras(shared: Path, name: str, low: float, high: float) -> None:
    path = shared / "cases/flir" / name
    celsius = read_thermal(path).celsius
    np.testing.assert_allclose(celsius, flyr.unpack(str(path)).celsius, atol=0.001)
    assert (celsius.min(), celsius.max()) == (pytest.approx(low, abs=0.06), pytest.approx(high, abs=0.06))
