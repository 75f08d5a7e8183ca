"""Formats beyond the usual ones: read in full depth, or refused with the true reason and the way on."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from cmmdl.errors import UserError
from cmmdl.files.kinds import READABLE, WRITABLE, kind_of
from cmmdl.files.reading import read_picture

RANDOM = np.random.default_rng(5)
RAMP = (np.arange(20 * 30).reshape(20, 30) * 6).astype(np.uint16)
"""0 to 3594, for 12 bits."""


def png_levels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("codec", ["jpeg2000", "jpegxl", "jpegxr", "png"])
def test_codecs_inside_8_bit_tiffs(cases: Path, codec: str) -> None:
    read = read_picture(cases / f"tiff_codec/g8_{codec}.tif").array
    assert np.abs(read.astype(int) - png_levels(cases / "misaligned/ir.png")).mean() < 2


@pytest.mark.parametrize("name", ["rgb8_jpeg2000", "rgb8_png"])
def test_codecs_inside_8_bit_colour_tiffs(cases: Path, name: str) -> None:
    read = read_picture(cases / f"tiff_codec/{name}.tif").array
    assert np.abs(read.astype(int) - png_levels(cases / "misaligned/vis.png")).mean() < 2


def test_zstandard_of_16_bits_and_lerc_of_floats(cases: Path) -> None:
    expected = cv2.imread(str(cases / "ir16_counts/vis16.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    np.testing.assert_array_equal(read_picture(cases / "tiff_codec/rgb16_zstd.tif").array, expected)
    full = cv2.imread(str(cases / "ir16_counts/ir_full16.png"), cv2.IMREAD_UNCHANGED) / 65535
    np.testing.assert_allclose(read_picture(cases / "tiff_codec/gf_lerc.tif").array, full, atol=0.01)


@pytest.mark.parametrize("name", ["ir_be.tif", "ir_bigtiff.tif", "ir_int16.tif", "ir_uint32.tif", "ir_pages3.tif"])
def test_counts_in_every_number_format(cases: Path, name: str) -> None:
    expected = cv2.imread(str(cases / "ir16_counts/ir_7000_8500.png"), cv2.IMREAD_UNCHANGED)
    picture = read_picture(cases / "formats" / name)
    np.testing.assert_array_equal(picture.array, expected)
    assert picture.white is None
    assert [*picture.notes] == (["pages"] if "pages3" in name else [])


@pytest.mark.parametrize("name", ["ir_float16.tif", "ir_float64.tif", "ir_float_pred.tif"])
def test_floats_of_any_size(cases: Path, name: str) -> None:
    picture = read_picture(cases / "formats" / name).array
    assert picture.dtype == np.float32
    expected = png_levels(cases / "misaligned/ir.png") / 255
    np.testing.assert_allclose(picture, expected, atol=6e-4)


@pytest.mark.parametrize("name", ["ir.avif", "ir.jp2", "ir.pgm", "ir_zstd.tif", "ir_webp.tif"])
def test_8_bit_formats(cases: Path, name: str) -> None:
    read = read_picture(cases / "formats" / name).array
    read = read[..., 0] if read.ndim == 3 else read
    levels = png_levels(cases / "misaligned/vis.png" if name == "ir_webp.tif" else cases / "misaligned/ir.png")
    assert np.abs(read.astype(int) - (levels[..., 0] if levels.ndim == 3 else levels)).mean() < 2


def test_declared_white(cases: Path) -> None:
    assert read_picture(cases / "tiff12/ir_12bit_packed.tif").white == 4095
    assert read_picture(cases / "formats/ir_4095.pgm").white == 4095
    assert read_picture(cases / "formats/ir_sbit12_scaled.png").white is None  # scaled up: the type's own
    assert read_picture(cases / "formats/vis_65535.ppm").white is None
    assert read_picture(cases / "formats/vis_65535.ppm").array.max() == 65535


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("formats/vis_5band.tif", "has 5 bands; save"),
        ("formats/vis_rgbt4.tif", "has a fourth band that is not alpha; save"),
        ("formats/ir_nan.tif", "contains NaN"),
        ("formats/ir.mp4", "is a video; take single pictures out of it, for example: ffmpeg -i ir.mp4"),
        ("medical/MR_small.dcm", r"is a DICOM file.*pydicom"),
        ("medical/CT_small.dcm", r"is a DICOM file.*pydicom"),
        ("medical/mr_int16.npy", r"numpy\.load\('mr_int16\.npy'\)"),
    ],
)
def test_what_is_refused_by_its_true_reason(cases: Path, name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read_picture(cases / name)


def test_metadata_is_named(cases: Path) -> None:
    assert read_picture(cases / "metadata/vis.jpg").metadata == ("EXIF", "GPS", "ICC profile")
    turned = read_picture(cases / "metadata/vis_or6.jpg")
    assert turned.turned
    assert turned.array.shape == (160, 128, 3)
    assert read_picture(cases / "metadata/vis_geo.tif").metadata == ("GeoTIFF position",)


def test_every_readable_suffix_has_its_reader(tmp_path: Path) -> None:
    made = set()
    for suffix in WRITABLE:
        cv2.imwrite(str(tmp_path / f"a{suffix}"), RAMP.astype(np.uint8))
        made.add(suffix)
    grey = RAMP.astype(np.uint8)
    for suffix in (".pbm", ".pgm", ".ppm", ".pnm", ".jp2", ".avif"):
        Image.fromarray(grey).convert("RGB" if suffix in (".ppm", ".avif") else "1" if suffix == ".pbm" else "L").save(
            tmp_path / f"a{suffix}", format={".pnm": "PPM"}.get(suffix)
        )
        made.add(suffix)
    (tmp_path / "a.j2k").write_bytes(imagecodecs.jpeg2k_encode(grey, level=0, codecformat="j2k"))
    cv2.imwrite(str(tmp_path / "a.pfm"), RAMP.astype(np.float32))
    made |= {".j2k", ".pfm"}
    heif = pytest.importorskip("pillow_heif")
    for suffix in (".heic", ".heif"):
        heif.from_pillow(Image.fromarray(grey).convert("RGB")).save(tmp_path / f"a{suffix}", quality=100)
        made.add(suffix)
    assert made == set(READABLE)
    for suffix in READABLE:
        assert read_picture(tmp_path / f"a{suffix}").array.shape[:2] == (20, 30), suffix


@pytest.mark.parametrize(
    ("header", "dtype", "white"),
    [
        (b"P5\n30 20\n4095\n", ">u2", 4095),
        (b"P5 # a comment\n30 20\n1023\n", ">u2", 1023),
        (b"P5\n30 20\n65535\n", ">u2", None),
        (b"P5\n30 20\n100\n", "u1", 100),
        (b"P5\n30 20\n255\n", "u1", None),
    ],
)
def test_maxval_is_white(tmp_path: Path, header: bytes, dtype: str, white: float | None) -> None:
    values = (RAMP % 101).astype(dtype)
    (tmp_path / "a.pgm").write_bytes(header + values.tobytes())
    picture = read_picture(tmp_path / "a.pgm")
    np.testing.assert_array_equal(picture.array, values)
    assert picture.white == white
    assert picture.array.dtype.isnative


def test_colour_of_16_bits_in_ppm_keeps_its_depth(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 4096, (20, 30, 3)).astype(">u2")
    (tmp_path / "a.ppm").write_bytes(b"P6\n30 20\n4095\n" + values.tobytes())
    np.testing.assert_array_equal(read_picture(tmp_path / "a.ppm").array, values)


def test_values_above_maxval_are_damage(tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_bytes(b"P5\n2 1\n100\n\x05\xc8")
    with pytest.raises(UserError, match=r"damaged \(it holds 200, above its own maximum of 100"):
        read_picture(tmp_path / "a.pgm")


def test_ones_of_a_bitmap_are_black(tmp_path: Path) -> None:
    (tmp_path / "a.pbm").write_bytes(b"P4\n3 2\n\xa0\x40")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.pbm").array, [[0, 255, 0], [255, 0, 255]])


def test_float_maps_are_upright(tmp_path: Path) -> None:
    values = RANDOM.random((20, 30, 3), dtype=np.float32)
    cv2.imwrite(str(tmp_path / "a.pfm"), values[..., ::-1])
    np.testing.assert_array_equal(read_picture(tmp_path / "a.pfm").array, values)


@pytest.mark.parametrize("colour", [False, True])
def test_12_bits_in_jpeg_2000_and_avif(tmp_path: Path, colour: bool) -> None:
    values = np.repeat(RAMP[..., None], 3, axis=2) if colour else RAMP
    (tmp_path / "a.jp2").write_bytes(imagecodecs.jpeg2k_encode(values, level=0, bitspersample=12))
    picture = read_picture(tmp_path / "a.jp2")
    np.testing.assert_array_equal(picture.array, values)
    assert picture.white == 4095
    (tmp_path / "a.avif").write_bytes(imagecodecs.avif_encode(values, level=100, bitspersample=12))
    picture = read_picture(tmp_path / "a.avif")
    assert picture.white == 4095
    read = picture.array if picture.array.ndim == values.ndim else picture.array[..., 0]
    assert np.abs(read.astype(int) - values).max() <= 1


def test_deep_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    values = np.repeat((RAMP * 16)[..., None], 3, axis=2)
    heif.from_bytes(mode="RGB;16", size=(30, 20), data=values.tobytes()).save(tmp_path / "a.heic", quality=-1)
    picture = read_picture(tmp_path / "a.heic").array
    assert picture.dtype == np.uint16
    assert np.abs(picture.astype(int) - values).max() < 257  # 10 bits inside


def png_with_sbit(array: np.ndarray, bits: int) -> bytes:
    data = cv2.imencode(".png", array)[1].tobytes()
    body = b"sBIT" + bytes([bits])
    return data[:33] + struct.pack(">I", 1) + body + struct.pack(">I", zlib.crc32(body)) + data[33:]


def test_significant_bits_of_png(tmp_path: Path) -> None:
    scaled = (RAMP << 4) | (RAMP >> 8)
    for name, array in (("plain", RAMP), ("scaled", scaled), ("dark", scaled // 20), ("darkest", scaled[:1, :9])):
        (tmp_path / f"{name}.png").write_bytes(png_with_sbit(array, 12))
    assert read_picture(tmp_path / "plain.png").white == 4095
    assert read_picture(tmp_path / "scaled.png").white is None
    assert read_picture(tmp_path / "darkest.png").white is None  # dark, but scaled: below 4096 with gaps of 16
    np.testing.assert_array_equal(read_picture(tmp_path / "plain.png").array, RAMP)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.float32])
@pytest.mark.parametrize(
    "options", [{}, {"byteorder": ">"}, {"compression": "zlib", "predictor": True}, {"tile": (16, 16)}]
)
def test_tiff_round_trip(tmp_path: Path, dtype: type, options: dict[str, Any]) -> None:
    array = (RANDOM.random((21, 35)) * 100).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    read = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(read.array, array)
    assert read.array.dtype == dtype
    assert read.notes == {}
    assert read.white is None


def test_white_is_zero_and_palettes(tmp_path: Path) -> None:
    array = RANDOM.integers(0, 256, (9, 11)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="miniswhite")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").array, 255 - array)
    tifffile.imwrite(tmp_path / "b.tif", array.astype(np.uint16), photometric="miniswhite")
    np.testing.assert_array_equal(read_picture(tmp_path / "b.tif").array, 65535 - array.astype(np.uint16))
    table = RANDOM.integers(0, 256, (3, 256)).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "c.tif", array, photometric="palette", colormap=table)
    np.testing.assert_array_equal(read_picture(tmp_path / "c.tif").array, (table[:, array] >> 8).transpose(1, 2, 0))


@pytest.mark.parametrize(("bits", "factor"), [(1, 255), (2, 85), (4, 17)])
def test_few_bits_are_spread_over_8(tmp_path: Path, bits: int, factor: int) -> None:
    values = (np.arange(64) % 2**bits).reshape(8, 8).astype(np.uint8)
    rows = [int("".join(f"{v:0{bits}b}" for v in row), 2).to_bytes(bits, "big") for row in values]
    with io.BytesIO() as file:  # the header of a TIFF of 8x8 with other bits and bytes
        tags = {256: 8, 257: 8, 258: bits, 259: 1, 262: 1, 273: 8 + 2 + 12 * 8 + 4, 277: 1, 279: 8 * bits}
        file.write(b"II*\0" + struct.pack("<IH", 8, len(tags)))
        for tag, value in tags.items():
            file.write(struct.pack("<HHII", tag, 4, 1, value))
        file.write(bytes(4) + b"".join(rows))
        (tmp_path / "a.tif").write_bytes(file.getvalue())
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").array, values * factor)


@pytest.mark.parametrize(
    ("bands", "extra", "words"),
    [
        (4, ["unspecified"], "has a fourth band that is not alpha"),
        (2, ["unspecified"], "has a second band that is not alpha"),
        (6, ["unspecified"] * 3, "has 6 bands"),
        (5, ["unassalpha", "unspecified"], "has 5 bands"),
    ],
)
def test_bands_of_unknown_meaning_are_refused(tmp_path: Path, bands: int, extra: list[str], words: str) -> None:
    array = RANDOM.integers(0, 256, (9, 11, bands)).astype(np.uint8)
    photometric = "rgb" if bands > 2 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", array, photometric=photometric, extrasamples=extra, planarconfig="contig")
    with pytest.raises(UserError, match=words):
        read_picture(tmp_path / "a.tif")


def test_alpha_of_tiffs_is_dropped_with_a_note(tmp_path: Path) -> None:
    array = RANDOM.integers(0, 256, (9, 11, 4)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", extrasamples=["unassalpha"])
    picture = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.array, array[..., :3])
    assert [*picture.notes] == ["alpha"]


def test_no_data_in_floats_is_refused(tmp_path: Path) -> None:
    array = RANDOM.random((9, 11), dtype=np.float32)
    array[2:4] = -9999
    tifffile.imwrite(tmp_path / "a.tif", array, extratags=[(42113, 2, 6, "-9999", True)])
    with pytest.raises(UserError, match="22 pixels hold -9999, which stands for no data"):
        read_picture(tmp_path / "a.tif")


def test_missing_strips_are_never_black(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RAMP, rowsperstrip=5)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        tag = file.pages[0].tags[279]
        tag.overwrite([*tag.value[:-1], 0])
    with pytest.raises(UserError, match="damaged"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (bytes(128) + b"DICM", "dicom"),
        (b"II*\0" + bytes(124) + b"DICM", "dicom"),
        (b"\x5c\x01\0\0" + bytes(340) + b"n+1\0", "nifti"),
        (b"\0\0\0\x1cftypisom", "video"),
        (b"\0\0\0\x14ftypqt  ", "video"),
        (b"\x1a\x45\xdf\xa3", "video"),
        (b"RIFF\0\0\0\0AVI LIST", "video"),
        (b"GIF89a", "gif"),
        (b"some text", ""),
    ],
)
def test_kinds_by_their_first_bytes(tmp_path: Path, start: bytes, kind: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(start + bytes(300))
    assert kind_of(path) == kind
    with pytest.raises(UserError, match=r"a\.png is (a|no)"):
        read_picture(path)


def test_packed_nifti_is_known_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"\x1f\x8b" + bytes(400))
    with pytest.raises(UserError, match=r"is a NIfTI volume.*nibabel"):
        read_picture(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("seed", range(40))
def test_damaged_files_of_all_formats_end_in_one_line(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    kinds = ["none", "zlib", "lzw", "zstd", "jpeg2000", "lerc", "pgm", "jp2", "avif", "pfm"]
    kind = kinds[seed % len(kinds)]
    path = tmp_path / f"a.{kind if kind in ('pgm', 'jp2', 'avif', 'pfm') else 'tif'}"
    if kind in ("pgm", "jp2", "pfm"):
        cv2.imwrite(str(path), RAMP if kind != "pfm" else RAMP.astype(np.float32))
    elif kind == "avif":
        path.write_bytes(imagecodecs.avif_encode(RAMP, bitspersample=12))
    else:
        tifffile.imwrite(path, RAMP, compression=kind)
    data = bytearray(path.read_bytes())
    for place in random.integers(0, len(data), 1 + seed % 7):
        data[place] = random.integers(0, 256)
    path.write_bytes(data[: len(data) if seed % 3 else len(data) * 2 // 3])
    try:
        array = read_picture(path, max_pixels=10_000).array
    except UserError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert array.max() > 0  # what can still be read is not black
