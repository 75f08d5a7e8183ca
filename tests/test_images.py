"""Every kind of file against the array that went into it."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from cmmdl.errors import UserError
from cmmdl.files import atomic
from cmmdl.files.atomic import remove_stale, write_bytes
from cmmdl.files.images import read_image, write_image
from cmmdl.files.listing import list_images

RANDOM = np.random.default_rng(7)
LOSSLESS = {np.uint8: (".png", ".bmp", ".tif", ".TIFF", ".webp"), np.uint16: (".png", ".tif"), np.float32: (".tif",)}
KINDS = [(dtype, suffix) for dtype, suffixes in LOSSLESS.items() for suffix in suffixes]


def picture(dtype: type, height: int = 5, width: int = 7, *, colour: bool = True) -> np.ndarray:
    shape = (height, width, 3) if colour else (height, width)
    if dtype is np.float32:
        return RANDOM.random(shape, dtype=np.float32)
    return RANDOM.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def silent(text: str) -> None:
    raise AssertionError(f"unexpected note: {text}")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(KINDS), st.booleans(), st.integers(1, 20), st.integers(1, 20))
def test_round_trip(tmp_path: Path, kind: tuple[type, str], colour: bool, height: int, width: int) -> None:
    dtype, suffix = kind
    array = picture(dtype, height, width, colour=colour)
    write_image(tmp_path / f"a{suffix}", array)
    back = read_image(tmp_path / f"a{suffix}", note=silent)
    if suffix == ".webp" and not colour:  # WebP has no grey
        array = np.repeat(array[..., None], 3, axis=2)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_jpeg_round_trip_is_close(tmp_path: Path) -> None:
    array = cv2.GaussianBlur(picture(np.uint8, 40, 50), (0, 0), 4)
    write_image(tmp_path / "a.jpg", array)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - array).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_orientation_of_8_bit(tmp_path: Path, orientation: int, suffix: str) -> None:
    flat = np.zeros((16, 24, 3), np.uint8)
    flat[:8, :8] = 250, 10, 10
    image, exif = Image.fromarray(flat), Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / f"a{suffix}", exif=exif, **({"quality": 100, "subsampling": 0} if suffix == ".jpg" else {}))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / f"a{suffix}")).convert("RGB"))
    back = read_image(tmp_path / f"a{suffix}")
    assert back.shape == expected.shape == ((24, 16, 3) if orientation > 4 else (16, 24, 3))
    np.testing.assert_array_equal(back, expected)


def tiff_with_orientation(data: bytes, orientation: int) -> bytes:
    """Appends a copy of the directory of a little-endian TIFF with the orientation tag in it."""
    start = struct.unpack("<I", data[4:8])[0]
    count = struct.unpack("<H", data[start : start + 2])[0]
    entries = [data[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(count)]
    entries = [e for e in entries if struct.unpack("<H", e[:2])[0] != 274]
    entries.append(struct.pack("<HHIHH", 274, 3, 1, orientation, 0))
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2])[0])
    data += b"\0" * (len(data) % 2)
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + b"\0\0\0\0"
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("colour", [True, False])
def test_orientation_of_deep_tiff(tmp_path: Path, orientation: int, dtype: type, colour: bool) -> None:
    array = picture(dtype, colour=colour)
    write_image(tmp_path / "a.tif", array)
    (tmp_path / "b.tif").write_bytes(tiff_with_orientation((tmp_path / "a.tif").read_bytes(), orientation))
    marks = np.arange(35, dtype=np.uint8).reshape(5, 7)  # which pixel goes where, by Pillow
    image, exif = Image.fromarray(marks), Image.Exif()
    exif[0x0112] = orientation
    with io.BytesIO() as file:
        image.save(file, "TIFF", exif=exif)
        places = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif"), array.reshape(35, *array.shape[2:])[places])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_orientation_of_uncompressed_grey_tiff(tmp_path: Path, orientation: int, dtype: type) -> None:
    array, exif = picture(dtype, colour=False), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(array).save(tmp_path / "a.tif", exif=exif)
    quarter_turns = {1: array, 3: np.rot90(array, 2), 6: np.rot90(array, -1), 8: np.rot90(array)}
    mirrored = {2: array[:, ::-1], 4: array[::-1], 5: array.T, 7: np.rot90(array, 2).T}
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), (quarter_turns | mirrored)[orientation])


def planar_tiff(planes: np.ndarray) -> bytes:
    """A little-endian TIFF of 16-bit RGB planes ``(3, H, W)`` that follow each other."""
    count, height, width = planes.shape
    size = 2 * height * width
    extra = 8 + 2 + 12 * 9 + 4  # where the directory ends
    starts, pixels = extra + 30, struct.pack("<3H", 16, 16, 16)
    pixels += struct.pack("<3I", *(starts + n * size for n in range(count))) + struct.pack("<3I", *[size] * count)
    longs = [(256, width), (257, height), (259, 1), (262, 2), (277, count), (284, 2)]
    arrays = [(258, 3, extra), (273, 4, extra + 6), (279, 4, extra + 18)]
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in longs]
    entries += [struct.pack("<HHII", tag, kind, count, at) for tag, kind, at in arrays]
    entries.sort(key=lambda entry: entry[:2][::-1])
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + b"\0\0\0\0"
    return b"II*\0" + struct.pack("<I", 8) + directory + pixels + planes.astype("<u2").tobytes()


def test_planes_of_their_own_are_read(tmp_path: Path) -> None:
    array = picture(np.uint16)
    (tmp_path / "a.tif").write_bytes(planar_tiff(array.transpose(2, 0, 1)))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", note=silent), array)


def test_orientation_of_deep_png(tmp_path: Path) -> None:
    array = picture(np.uint16)
    write_image(tmp_path / "a.png", array)
    data = (tmp_path / "a.png").read_bytes()
    with io.BytesIO() as file:  # the eXIf chunk of an 8-bit PNG, put behind the header of the 16-bit one
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("L", (1, 1)).save(file, "PNG", exif=exif)
        small = file.getvalue()
    at = small.index(b"eXIf") - 4
    chunk = small[at : at + 12 + struct.unpack(">I", small[at : at + 4])[0]]
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(array, -1))


def test_palette_is_decoded(tmp_path: Path) -> None:
    colours = np.array([[255, 0, 0], [0, 200, 30], [1, 2, 3]], np.uint8)
    index = RANDOM.integers(0, 3, (6, 6))
    for suffix in (".png", ".bmp", ".tif"):
        Image.fromarray(colours[index]).quantize(4).save(tmp_path / f"a{suffix}")
        np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}", note=silent), colours[index])


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_alpha_is_dropped_with_a_note(tmp_path: Path, mode: str) -> None:
    path, notes = tmp_path / "a.png", list[str]()
    if mode == "P":
        Image.new("P", (4, 4)).save(path, transparency=0)
    else:
        image = Image.new(mode, (4, 4), (9, 0) if mode == "LA" else (9, 9, 9, 0))
        image.save(path)
    array = read_image(path, note=notes.append)
    assert array.shape == ((4, 4) if mode == "LA" else (4, 4, 3))
    assert mode == "P" or (array == 9).all()  # dropped, not blended
    assert len(notes) == 1
    assert str(path) in notes[0]
    assert "alpha" in notes[0]
    with pytest.warns(UserWarning, match="alpha dropped"):
        read_image(path)


def test_alpha_of_16_bits_is_dropped_with_a_note(tmp_path: Path) -> None:
    array, notes = RANDOM.integers(0, 65536, (4, 5, 4)).astype(np.uint16), list[str]()
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", array)[1].tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", note=notes.append), array[..., 2::-1])
    assert len(notes) == 1


def test_one_bit_and_cmyk(tmp_path: Path) -> None:
    bits = RANDOM.random((5, 9)) > 0.5
    Image.fromarray(bits).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), bits * np.uint8(255))
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg")[0, 0].astype(int), [255, 0, 0], atol=3)


def test_first_of_several_pages(tmp_path: Path) -> None:
    pages, notes = [Image.new("L", (3, 3), value) for value in (10, 20)], list[str]()
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert (read_image(tmp_path / "a.tif", note=notes.append) == 10).all()
    assert "2 pages" in notes[0]


def test_format_is_known_by_content(tmp_path: Path) -> None:
    Image.new("L", (4, 3), 7).save(tmp_path / "a.bmp")
    (tmp_path / "a.bmp").rename(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (3, 4)


@pytest.mark.parametrize(
    ("name", "dtype", "words"),
    [
        ("a.jpg", np.uint16, "PNG or TIFF"),
        ("a.webp", np.uint16, "PNG or TIFF"),
        ("a.png", np.float32, "TIFF"),
        ("a.png", np.int32, "int32"),
        ("a.gif", np.uint8, ".gif"),
        ("a", np.uint8, "without suffix"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path: Path, name: str, dtype: type, words: str) -> None:
    with pytest.raises(UserError, match=words):
        write_image(tmp_path / name, np.zeros((3, 3), dtype))
    assert list(tmp_path.iterdir()) == []


def test_webp_too_wide_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot hold"):
        write_image(tmp_path / "a.webp", np.zeros((1, 20000), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_listing_goes_by_stem(tmp_path: Path) -> None:
    for name in ("b_ir.PNG", "a_ir.jpg", "c.tif", ".a.png", "notes.txt", ".b.png.host-1.cmmdl-tmp"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert list(list_images(tmp_path)) == ["a_ir", "b_ir", "c"]
    assert {s: p.name for s, p in list_images(tmp_path, strip="_ir").items()} == {
        "a": "a_ir.jpg",
        "b": "b_ir.PNG",
        "c": "c.tif",
    }
    (tmp_path / "c.bmp").touch()
    with pytest.raises(UserError, match=r"c\.bmp and c\.tif share the stem 'c'"):
        list_images(tmp_path)


def test_stale_temporaries_of_dead_processes_go(tmp_path: Path) -> None:
    code = "from pathlib import Path\nfrom cmmdl.files import atomic\nprint(atomic._temporary_name(Path('a.png')))"
    dead = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    mine = atomic._temporary_name(Path("a.png")).name
    kept = {mine, ".a.png.elsewhere-1-0123456789abcdef.cmmdl-tmp", ".somebody.cmmdl-tmp", "a.png"}
    for name in (dead, *kept):
        (tmp_path / name).touch()
    remove_stale(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == kept


def test_names_that_share_40_characters_do_not_meet(tmp_path: Path) -> None:
    names = [f"{'a_scene_of_one_film_as_recorders_call_them_' * 2}{number:04d}.bin" for number in range(240)]

    def write(name: str) -> None:
        write_bytes(tmp_path / name, name.encode() * 5000)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, names))
    assert {p.name: p.read_bytes() == p.name.encode() * 5000 for p in tmp_path.iterdir()} == dict.fromkeys(names, True)


def test_long_names_fit_beside_long_host_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic.socket, "gethostname", lambda: "h" * 64)
    write_bytes(tmp_path / ("\u7ea2" * 80 + ".png"), b"1")
    assert len(list(tmp_path.iterdir())) == 1


def test_files_get_the_usual_rights(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_bytes(tmp_path / "ours", b"1")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")

    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "_create", full)
    with pytest.raises(UserError, match=r"a\.bin: the disk is full"):
        write_bytes(tmp_path / "a.bin", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"
