"""Every kind of bad input through the command line: one clear line, no traceback, no half output."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageFile

from cmmdl.cli import main
from cmmdl.errors import UserError
from cmmdl.files.images import read_image, write_image
from cmmdl.scenes import synthetic_pair

CMMDL = [sys.executable, "-c", "from cmmdl.cli import main; main()"]
RANDOM = np.random.default_rng(1)


@pytest.fixture(autouse=True)
def keep_the_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmmdl.models.allocator.reuse_memory", lambda: True)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A good pair, 30x20."""
    for name, picture in zip(("ir", "vis"), synthetic_pair(20, 30), strict=True):
        write_image(tmp_path / f"{name}.png", picture)
    return tmp_path / "ir.png", tmp_path / "vis.png"


def refused(*arguments: object, out: Path, model: str = "mean", status: int = 1) -> str:
    """The one line that ``cmmdl fuse`` prints; checks that it is one, and that nothing was left behind."""
    before = sorted(out.parent.rglob("*"))
    command = ["fuse", *map(str, arguments), "-o", str(out), "--model", model]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == status
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert sorted(out.parent.rglob("*")) == before
    return result.stderr


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *, bits: int = 8, extra: bytes = b"") -> bytes:
    """A PNG of that size in its header, all black, whatever that takes once decoded."""
    row, packer = bytes(1 + width * bits // 8), zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(min(height, 20000))) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("part", [0.95, 0.5, 0.1])
@pytest.mark.parametrize(
    ("name", "dtype", "colour"),
    [
        ("a.png", np.uint8, True),
        ("a.png", np.uint16, True),
        ("a.png", np.uint16, False),
        ("a.jpg", np.uint8, True),
        ("a.bmp", np.uint8, True),
        ("a.webp", np.uint8, True),
        ("a.tif", np.uint8, True),
        ("a.tif", np.uint16, True),
        ("a.tif", np.float32, True),
        ("a.tif", np.float32, False),
    ],
)
def test_truncated(pair: tuple[Path, Path], part: float, name: str, dtype: type, colour: bool) -> None:
    path = pair[0].with_name(name)
    write_image(path, (RANDOM.random((20, 30, 3) if colour else (20, 30)) * 200).astype(dtype))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    line = refused(pair[0], path, out=path.with_name("out.png"))
    assert f"{path} is truncated or damaged" in line
    assert "copy it again" in line


@pytest.mark.parametrize("seed", range(30))
def test_damaged_bytes_never_end_in_a_traceback(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    name, dtype = [("a.png", np.uint8), ("a.tif", np.float32), ("a.tif", np.uint16), ("a.png", np.uint16)][seed % 4]
    write_image(tmp_path / name, (random.random((20, 30, 3)) * 200).astype(dtype))
    data = bytearray((tmp_path / name).read_bytes())
    for place in random.integers(0, len(data), 1 + seed):
        data[place] = random.integers(0, 256)
    (tmp_path / name).write_bytes(data)
    error = error_of(tmp_path / name)
    assert error is None or str(tmp_path / name) in error


def error_of(path: Path) -> str | None:
    """What reading a file complains of, if it does; anything but a UserError goes through."""
    try:
        read_image(path, note=lambda text: None)
    except UserError as error:
        return str(error)
    return None


def test_empty(pair: tuple[Path, Path]) -> None:
    path = pair[0].with_name("empty.png")
    path.touch()
    assert f"{path} is empty" in refused(path, pair[1], out=path.with_name("out.png"))


def test_text_renamed_png(pair: tuple[Path, Path]) -> None:
    path = pair[0].with_name("text.png")
    path.write_text("This is no picture.\n" * 40)
    assert f"{path} is not a PNG" in refused(path, pair[1], out=path.with_name("out.png"))


def test_missing(pair: tuple[Path, Path]) -> None:
    path = pair[0].with_name("nowhere.png")
    assert "nowhere.png: there is no such file" in refused(path, pair[1], out=path.with_name("out.png"))


def test_bombs_are_refused_before_decoding(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(self: Any) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decoded)
    for size in ((20000, 20000), (60000, 60000), (2**31 - 1, 2**31 - 1)):
        path = pair[0].with_name("bomb.png")
        path.write_bytes(png(*size, bits=1) if size[0] == 20000 else png(8, 8).replace(*_ihdr((8, 8), size)))
        line = refused(path, pair[1], out=path.with_name("out.png"))
        assert f"{path}: {size[0]}x{size[1]}" in line
        assert f"--max-pixels {size[0] * size[1]}" in line


def _ihdr(old: tuple[int, int], new: tuple[int, int]) -> tuple[bytes, bytes]:
    """The header chunks of both sizes."""
    return tuple(chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)) for size in (old, new))  # type: ignore[return-value]


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_text_bomb(pair: tuple[Path, Path], kind: bytes) -> None:
    path = pair[0].with_name("bomb.png")
    path.write_bytes(png(8, 8, extra=chunk(kind, b"x\0\0" + zlib.compress(bytes(200_000_000), 9))))
    assert str(path) in refused(path, pair[1], out=path.with_name("out.png"))


def test_the_limit_can_be_raised_and_lowered(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    out = pair[0].with_name("out.png")
    assert "30x20 is 0.0 megapixels" in refused(*pair, "--max-pixels", 599, out=out)
    command = ["fuse", *map(str, pair), "-o", str(out), "--model", "mean", "--max-pixels", "600"]
    assert CliRunner().invoke(main, command).exit_code == 0
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow would refuse from 200 on
    assert read_image(pair[0]).shape == (20, 30)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_nan_in_a_float_tiff(pair: tuple[Path, Path]) -> None:
    path = pair[0].with_name("nan.tif")
    array = np.full((20, 30), 0.5, np.float32)
    array[3, 4] = np.nan
    write_image(path, array)
    assert f"{path} contains NaN" in refused(path, pair[1], out=path.with_name("out.png"))


def test_floats_without_range(pair: tuple[Path, Path]) -> None:
    path = pair[0].with_name("celsius.tif")
    write_image(path, np.full((20, 30), 21.5, np.float32))
    out = path.with_name("out.png")
    assert f"{path} has the value 21.5 everywhere, which spans no range" in refused(path, pair[1], out=out)
    line = refused(pair[0], path, out=out)
    assert f"{path} holds floats from 21.5 to 21.5, outside [0, 1]; give its range: --vis-range" in line


def test_sizes_that_differ(pair: tuple[Path, Path]) -> None:
    path = pair[0].with_name("small.png")
    write_image(path, np.zeros((10, 15), np.uint8))
    line = refused(path, pair[1], out=path.with_name("out.png"))
    assert f"{path} is 15x10, {pair[1]} is 30x20" in line
    assert "--resize-ir" in line


def test_folder_against_file(pair: tuple[Path, Path]) -> None:
    folder = pair[0].parent / "folder"
    folder.mkdir()
    out = folder.parent / "out.png"
    assert "give two files or two folders" in refused(folder, pair[1], out=out, status=2)
    assert "give two files or two folders" in refused(pair[0], folder, out=out, status=2)
    assert f"{folder} is a folder; two files need a file name" in refused(*pair, out=folder, status=2)
    for side, path in zip(("one", "two"), pair, strict=True):
        (folder / side).mkdir()
        (folder / side / "a.png").write_bytes(path.read_bytes())
    assert "is a file" in refused(folder / "one", folder / "two", "--overwrite", out=pair[0])
    assert "cannot be created" in refused(*pair, out=pair[0] / "x" / "out.png")


def test_folders_without_pictures(pair: tuple[Path, Path]) -> None:
    one, two = pair[0].parent / "one", pair[0].parent / "two"
    one.mkdir()
    two.mkdir()
    (one / "a.png").write_bytes(pair[0].read_bytes())
    out = one.parent / "out"
    assert f"{two} contains no pictures of the vis side" in refused(one, two, out=out)
    (two / "b.png").write_bytes(pair[1].read_bytes())
    line = refused(one, two, out=out)
    assert "a.png" in line
    assert "b.png" in line
    assert "--ir-suffix" in line


def test_unknown_model_and_device(pair: tuple[Path, Path]) -> None:
    out = pair[0].with_name("out.png")
    assert "'nonsense'" in refused(*pair, out=out, model="nonsense")
    assert "cuda:99" in refused(*pair, "--device", "cuda:99", out=out)


def test_formats_that_cannot_hold_it(pair: tuple[Path, Path]) -> None:
    assert ".gif is not a format" in refused(*pair, out=pair[0].with_name("out.gif"), status=2)
    assert "without suffix" in refused(*pair, out=pair[0].with_name("out"), status=2)
    line = refused(*pair, "--depth", "uint16", out=pair[0].with_name("out.jpg"), status=2)
    assert "out.jpg: .jpg cannot hold uint16; write PNG or TIFF" in line


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (13, "no permission to write in"),
        (28, "the disk is full"),
        (30, "no permission to write in"),
        (5, "could not be written"),
    ],
)
def test_writes_that_fail(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, number: int, words: str) -> None:
    def fail(path: Path, data: bytes) -> None:
        path.write_bytes(data[:100])
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("cmmdl.files.atomic._create", fail)
    line = refused(*pair, out=pair[0].with_name("out.png"))
    assert f"out.png: {words}" in line
    assert "choose another" in line


def test_no_permission_to_read(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", fail)
    assert f"{pair[0]}: no permission to read it" in refused(*pair, out=pair[0].with_name("out.png"))


def test_no_permission_for_real(pair: tuple[Path, Path]) -> None:
    locked = pair[0].parent / "locked"
    locked.mkdir(mode=0o555)
    if os.access(locked, os.W_OK):
        pytest.skip("this user may write everywhere, as root may")
    assert "no permission to write in" in refused(*pair, out=locked / "out.png")
    locked.chmod(0)
    assert f"{locked}/out.png: Permission denied; check" in refused(*pair, out=locked / "out.png")
    assert f"{locked} cannot be listed" in refused(locked, pair[0].parent, out=pair[0].with_name("out"))
    pair[0].chmod(0)
    assert "no permission to read it" in refused(*pair, out=pair[0].with_name("out.png"))


@pytest.mark.skipif(os.name != "posix", reason="file size limits are of POSIX systems")
def test_disk_full_in_a_folder_run(pair: tuple[Path, Path]) -> None:
    """A limit on file sizes stands for the full disk: it too strikes in the middle of a write."""
    import resource

    base = pair[0].parent
    for side, path in zip(("one", "two"), pair, strict=True):
        (base / side).mkdir()
        (base / side / "a.png").write_bytes(path.read_bytes())
    for side, picture in zip(("one", "two"), synthetic_pair(200, 300), strict=True):
        write_image(base / side / "b.png", picture)
        write_image(base / side / "c.png", picture)
    arguments = ["fuse", "one", "two", "-o", "out", "--model", "mean", "-q"]
    result = subprocess.run(
        CMMDL + arguments,
        cwd=base,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert result.returncode == 1
    assert result.stderr == (
        "error: out/b.png: the disk is full; free some space or choose another place, then run it again\n"
    )
    assert sorted(path.name for path in (base / "out").iterdir()) == ["a.png"]
