"""Pages of TIFF files and numbered pictures are read as the picture command reads each of them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cmmdl import UserError
from cmmdl.files.images import read_image, read_picture
from cmmdl.files.video.opening import RawInput, open_clip

from clip_helpers import drawn  # isort: skip

tifffile = pytest.importorskip("tifffile")
silent = lambda text: None  # noqa: E731
COUNTS = np.stack([7000 + 5 * drawn(k / 25, infrared=True).astype(np.uint16) for k in range(4)])


def write_pages(folder: Path, pages: Any, **options: Any) -> Path:
    """A file of many pages, and beside it each page as a file of its own."""
    with tifffile.TiffWriter(folder / "pages.tif") as writer:
        for page in pages:
            writer.write(page, metadata=None, contiguous=False, **options)
    for number, page in enumerate(pages):
        tifffile.imwrite(folder / f"{number}.tif", page, metadata=None, **options)
    return folder / "pages.tif"


RANDOM = np.random.default_rng(3)
KINDS = {
    "white is zero": (COUNTS, {"photometric": "miniswhite"}),
    "white is zero, 8 bits": (COUNTS.astype(np.uint8), {"photometric": "miniswhite"}),
    "palette": (
        RANDOM.integers(0, 256, (4, 20, 30)).astype(np.uint8),
        {"photometric": "palette", "colormap": RANDOM.integers(0, 65536, (3, 256)).astype(np.uint16)},
    ),
    "on its side": (COUNTS, {"photometric": "minisblack", "extratags": [(274, "H", 1, 6, True)]}),
    "mirrored": (COUNTS, {"photometric": "minisblack", "extratags": [(274, "H", 1, 2, True)]}),
    "floats": (COUNTS.astype(np.float64), {"photometric": "minisblack"}),
    "big endian": (COUNTS, {"photometric": "minisblack", "compression": "zlib"}),
    "colour": (RANDOM.integers(0, 256, (4, 20, 30, 3)).astype(np.uint8), {"photometric": "rgb"}),
    "planes": (
        RANDOM.integers(0, 256, (4, 3, 20, 30)).astype(np.uint8),
        {"photometric": "rgb", "planarconfig": "separate"},
    ),
    "alpha": (
        RANDOM.integers(0, 256, (4, 20, 30, 4)).astype(np.uint8),
        {"photometric": "rgb", "extrasamples": ["unassalpha"]},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_page_equals_the_picture(tmp_path: Path, kind: str) -> None:
    pages, options = KINDS[kind]
    clip = open_clip(str(write_pages(tmp_path, pages, **options)), RawInput(rate=Fraction(9)), note=silent)
    frames = list(clip.frames())
    assert len(frames) == len(pages)
    for number, frame in enumerate(frames):
        expected = read_image(tmp_path / f"{number}.tif", note=silent)
        np.testing.assert_array_equal(frame.pixels, expected)
        assert frame.pixels.dtype == expected.dtype
    assert (clip.facts.height, clip.facts.width) == frames[0].pixels.shape[:2]
    np.testing.assert_array_equal(clip.sample(2)[1], frames[-1].pixels)


def test_pages_that_are_turned_differently(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "pages.tif") as writer:
        for orientation in (1, 3):
            writer.write(
                COUNTS[0],
                photometric="minisblack",
                metadata=None,
                contiguous=False,
                extratags=[(274, "H", 1, orientation, True)],
            )
    frames = list(open_clip(str(tmp_path / "pages.tif"), RawInput(rate=Fraction(9)), note=silent).frames())
    np.testing.assert_array_equal(frames[1].pixels, frames[0].pixels[::-1, ::-1])


@pytest.mark.parametrize(
    ("second", "options", "words"),
    [
        (COUNTS[0][:-1], {"photometric": "minisblack"}, r"page 2 is 96x63 uint16, the first 96x64 uint16"),
        (COUNTS[0].astype(np.uint8), {"photometric": "minisblack"}, r"page 2 is 96x64 uint8, the first 96x64 uint16"),
        (np.zeros((64, 96, 4), np.uint8), {"photometric": "separated"}, "page 2 of .*printing, Lab or subsampled"),
        (np.full((64, 96), np.nan, np.float32), {"photometric": "minisblack"}, "page 2 contains NaN"),
        (COUNTS[0].astype(np.int16), {"photometric": "miniswhite"}, "page 2 of .* says that 0 is white in int16"),
    ],
)
def test_pages_that_are_refused(tmp_path: Path, second: Any, options: dict[str, Any], words: str) -> None:
    with tifffile.TiffWriter(tmp_path / "pages.tif") as writer:
        writer.write(COUNTS[0], photometric="minisblack", metadata=None, contiguous=False)
        writer.write(second, metadata=None, contiguous=False, **options)
    clip = open_clip(str(tmp_path / "pages.tif"), RawInput(rate=Fraction(9)), note=silent)
    with pytest.raises(UserError, match=words):
        list(clip.frames())


def test_numbered_pictures_keep_the_white_that_they_name(tmp_path: Path) -> None:
    for number in range(2):
        body = (COUNTS[number] // 4).astype(">u2").tobytes()
        (tmp_path / f"{number}.pgm").write_bytes(b"P5 96 64 4095\n" + body)
    clip = open_clip(str(tmp_path / "%d.pgm"), RawInput(rate=Fraction(9)), note=silent)
    assert clip.facts.white == read_picture(tmp_path / "0.pgm").white == 4095
