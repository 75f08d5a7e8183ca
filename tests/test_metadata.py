"""Metadata survives in every format that holds it; read back by Pillow, tifffile and, where it is there, ExifTool."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

from cmmdl.errors import UserError
from cmmdl.files import ifd
from cmmdl.files.atomic import write_bytes
from cmmdl.files.images import encode, read_image
from cmmdl.files.metadata import Metadata, embed, fitting_profile, history_of, read_metadata

SUFFIXES = [".png", ".jpg", ".tif", ".webp"]
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6" drone:GimbalYaw="+12.3"/></x:xmpmeta>'
HISTORY = {"software": "CMMDL 0.1.0", "model": "mean", "ir_range": [7000.0, 8500.5]}
EXIFTOOL = shutil.which("exiftool")


def exif_of(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[271], exif[272], exif[274], exif[306] = "TestCam", "M3T", orientation, "2024:01:01 12:00:00"
    exif[0x8825] = {1: "N", 2: (10.0, 20.0, 30.5), 3: "W", 4: (1.0, 2.0, 3.25), 6: 105.5}
    exif[0x8769] = {36864: b"0232", 33434: IFDRational(1, 250), 37500: b"private\0notes", 40962: 40, 40963: 30}
    return exif


def picture(height: int = 30, width: int = 40) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path / "vis.jpg"
    Image.fromarray(picture()).save(path, exif=exif_of(6), icc_profile=icc, dpi=(300, 150), xmp=XMP)
    return path


def written(kept: Metadata, path: Path, pixels: NDArray[Any], notes: list[str] | None = None) -> Path:
    said: list[str] = [] if notes is None else notes
    data = embed(encode(path, pixels), path.suffix, kept, HISTORY, pixels.shape[:2], said.append)
    write_bytes(path, data)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_kept_in_every_format(source: Path, tmp_path: Path, suffix: str) -> None:
    pixels = np.ascontiguousarray(picture(40, 30))
    path = written(read_metadata(source), tmp_path / f"out{suffix}", pixels)
    with Image.open(path) as image:
        exif, info = image.getexif(), image.info
        gps, inner = exif.get_ifd(0x8825), exif.get_ifd(0x8769)
        assert (exif[271], exif[272], exif[306]) == ("TestCam", "M3T", "2024:01:01 12:00:00")
        assert exif[274] == 1  # the pixels are upright
        assert (gps[1], gps[3], float(gps[6])) == ("N", "W", 105.5)
        assert [float(v) for v in gps[2]] == [10, 20, 30.5]
        assert [float(v) for v in gps[4]] == [1, 2, 3.25]
        assert float(inner[33434]) == pytest.approx(1 / 250)
        assert (inner[40962], inner[40963]) == (30, 40)
        assert json.loads(inner[0x9213]) == HISTORY
        assert info["icc_profile"] == read_metadata(source).icc
        assert b'drone:GimbalYaw="+12.3"' in info["xmp"]
        assert b'tiff:Orientation="1"' in info["xmp"]
        if suffix != ".webp":
            assert [round(float(v)) for v in info["dpi"]] == [150, 300]  # turned with the picture
    if suffix != ".jpg":
        np.testing.assert_array_equal(read_image(path), pixels)
    assert history_of(path) == HISTORY


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_types_and_private_notes_are_kept_to_the_byte(source: Path, tmp_path: Path, suffix: str) -> None:
    kept = read_metadata(source)
    again = read_metadata(written(kept, tmp_path / f"out{suffix}", picture(40, 30)))
    before, after = kept.exif.children, again.exif.ordered(kept.exif.order).children
    assert after[ifd.GPS] == before[ifd.GPS]
    for tag in (36864, 37500, 33434):
        assert after[ifd.EXIF].entries[tag] == before[ifd.EXIF].entries[tag]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint16, np.uint8])
def test_deep_pixels_are_not_touched(source: Path, tmp_path: Path, suffix: str, dtype: type) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (21, 33)).astype(dtype)
    path = written(read_metadata(source), tmp_path / f"out{suffix}", pixels)
    np.testing.assert_array_equal(read_image(path), pixels)
    if suffix == ".tif":
        np.testing.assert_array_equal(tifffile.imread(path), pixels)


@pytest.mark.parametrize("big", [False, True])
def test_geotiff(tmp_path: Path, big: bool) -> None:
    tags = [
        (33550, "d", 3, (0.1, 0.1, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, 5e5, 46e5, 0.0), True),
        (34735, "H", 8, (1, 1, 0, 1, 1024, 0, 1, 1), True),
    ]
    tifffile.imwrite(tmp_path / "vis.tif", picture(), extratags=tags, photometric="rgb", bigtiff=big, byteorder=">")
    kept = read_metadata(tmp_path / "vis.tif")
    assert kept.geo.numbers(33550) == [0.1, 0.1, 0.0]
    with tifffile.TiffFile(written(kept, tmp_path / "out.tif", picture())) as file:
        found = file.pages.first.tags
        assert found.valueof(33922) == (0.0, 0.0, 0.0, 5e5, 46e5, 0.0)
        assert found.valueof(34735) == (1, 1, 0, 1, 1024, 0, 1, 1)
        assert "shape" not in str(found.valueof(270) or "")
    notes: list[str] = []
    written(kept, tmp_path / "out.png", picture(), notes)
    assert notes == [".png cannot hold GeoTIFF tags: they are lost; write .tif to keep them"]


def test_bmp_says_what_it_loses(source: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    written(read_metadata(source), tmp_path / "out.bmp", picture(), notes)
    assert len(notes) == 1
    assert ".bmp cannot hold metadata" in notes[0]


def test_too_much_for_a_jpeg(source: Path, tmp_path: Path) -> None:
    exif, notes = exif_of(), list[str]()
    exif[0x8769] = {37500: bytes(66000)}
    Image.fromarray(picture()).save(tmp_path / "vis.png", exif=exif)
    kept = read_metadata(tmp_path / "vis.png")
    again = read_metadata(written(kept, tmp_path / "out.jpg", picture(), notes))
    assert "private notes" in notes[0]
    assert again.exif.children[ifd.GPS] == kept.exif.ordered(again.exif.order).children[ifd.GPS]


def test_a_profile_of_other_pixels_is_left_out(source: Path) -> None:
    notes: list[str] = []
    kept = read_metadata(source)
    assert fitting_profile(kept, grey=False, note=notes.append) == kept
    assert not fitting_profile(kept, grey=True, note=notes.append).icc
    assert len(notes) == 1


def test_pictures_without_metadata_get_the_history_only(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "plain.png")
    kept = read_metadata(tmp_path / "plain.png")
    assert not kept
    for suffix in SUFFIXES:
        assert history_of(written(kept, tmp_path / f"out{suffix}", picture())) == HISTORY
    with pytest.raises(UserError, match=r"plain\.png does not say how it was fused"):
        history_of(tmp_path / "plain.png")
    with pytest.raises(UserError, match="no such file"):
        history_of(tmp_path / "missing.png")


def test_damaged_exif_is_left_out(tmp_path: Path) -> None:
    """Wherever the block is damaged: something may be lost, nothing is raised, and what is written can be read."""
    block = exif_of().tobytes().removeprefix(b"Exif\0\0")
    random = np.random.default_rng(4)
    for _ in range(300):
        broken = bytearray(block)
        for place in random.integers(8, len(block), 4):
            broken[place] = random.integers(256)
        found = ifd.parse(bytes(broken[: random.integers(8, len(block))]))
        assert ifd.parse(ifd.block(found)).entries == found.entries
    file = io.BytesIO()
    Image.fromarray(picture()).save(file, "JPEG", exif=b"Exif\0\0broken")
    (tmp_path / "a.jpg").write_bytes(file.getvalue())
    assert read_metadata(tmp_path / "a.jpg").exif == ifd.Directory()


@pytest.mark.parametrize("order", ["<", ">"])
def test_other_order_of_bytes(order: ifd.Order) -> None:
    directory = ifd.Directory("<").put(274, ifd.SHORT, 6).put(282, ifd.RATIONAL, 300, 1).put_text(271, "A camera")
    other = directory.ordered(order)
    assert ifd.parse(ifd.block(other)) == other
    assert (other.number(274), other.text(271)) == (6, "A camera")
    assert other.entries[282].data == struct.pack(f"{order}II", 300, 1)


@pytest.mark.skipif(EXIFTOOL is None, reason="ExifTool is not installed")
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["metadata/vis.jpg", "metadata/vis_or6.jpg", "flir/DJI_H20T.jpg"])
def test_exiftool_reads_the_same(shared: Path, tmp_path: Path, suffix: str, name: str) -> None:
    source = shared / "cases" / name
    path = written(read_metadata(source), tmp_path / f"out{suffix}", picture())

    def tags(file: Path) -> dict[str, Any]:
        done = subprocess.run([str(EXIFTOOL), "-j", "-G1", "-n", "-IFD0:all", "-GPS:all", "-ExifIFD:all", str(file)],
                              capture_output=True, check=True)  # fmt: skip
        skip = (
            "SourceFile",
            "Orientation",
            "YCbCr",
            "ExifImage",
            "ImageHistory",
            "Resolution",
            "StripO",
            "UserComment",
        )
        return {k: v for k, v in json.loads(done.stdout)[0].items() if not any(word in k for word in skip)}

    before, after = tags(source), tags(path)
    assert {key: after.get(key) for key in before} == before
