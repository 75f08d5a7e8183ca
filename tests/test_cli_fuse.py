"""``cmmdl fuse`` on files and folders, from pairing to continuing after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cmmdl import Fuser
from cmmdl.cli import main
from cmmdl.files import atomic
from cmmdl.files.images import read_image, write_image
from cmmdl.scenes import synthetic_pair

CMMDL = [sys.executable, "-c", "from cmmdl.cli import main; main()"]


@pytest.fixture(autouse=True)
def keep_the_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command may set its process's allocator; this process is shared with other tests."""
    monkeypatch.setattr("cmmdl.models.allocator.reuse_memory", lambda: True)


def fuse(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["fuse", *map(str, arguments), "--model", "mean"], catch_exceptions=False)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Three pairs in folders ``ir`` and ``vis``, of different formats."""
    for side in ("ir", "vis"):
        (tmp_path / side).mkdir()
    for stem, first, second in (("a", ".png", ".JPG"), ("b", ".bmp", ".webp"), ("c", ".tif", ".png")):
        ir, vis = synthetic_pair(24, 32, seed=ord(stem))
        write_image(tmp_path / f"ir/{stem}{first}", ir)
        write_image(tmp_path / f"vis/{stem}{second}", vis)
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_two_files(folders: Path) -> None:
    out = folders / "new" / "fused.png"
    result = fuse(folders / "ir/a.png", folders / "vis/a.JPG", "-o", out)
    assert result.exit_code == 0
    assert str(out) in result.stdout  # where the picture lies, how long it took, on what device
    assert " s on cpu (" in result.stdout
    np.testing.assert_array_equal(read_image(out), Fuser("mean")(folders / "ir/a.png", folders / "vis/a.JPG"))


def test_two_folders(folders: Path) -> None:
    result = fuse(folders / "ir", folders / "vis", "-o", folders / "out")
    assert result.exit_code == 0
    assert "3 fused" in result.stdout
    assert "pictures a second" in result.stdout
    assert "3/3" in result.stderr
    assert "pictures/s" in result.stderr
    assert names(folders / "out") == ["a.png", "b.png", "c.png"]
    expected = Fuser("mean")(folders / "ir/b.bmp", folders / "vis/b.webp")
    np.testing.assert_array_equal(read_image(folders / "out/b.png"), expected)


def test_quiet_says_nothing(folders: Path) -> None:
    result = fuse(folders / "ir", folders / "vis", "-o", folders / "out", "-q")
    assert (result.exit_code, result.output) == (0, "")


def test_format_of_the_results(folders: Path) -> None:
    assert fuse(folders / "ir", folders / "vis", "-o", folders / "out", "--format", "tif").exit_code == 0
    assert names(folders / "out") == ["a.tif", "b.tif", "c.tif"]


def test_suffixes_are_stripped(tmp_path: Path) -> None:
    ir, vis = synthetic_pair(8, 9)
    for stem in ("x", "y"):
        write_image(tmp_path / f"{stem}_ir.png", ir)
        write_image(tmp_path / f"{stem}.png", vis)
    (tmp_path / "other").mkdir()
    write_image(tmp_path / "other/x_thermal.png", ir)
    write_image(tmp_path / "other/y.png", ir)
    out = tmp_path / "out"
    assert fuse(tmp_path, tmp_path, "-o", out, "--ir-suffix", "_ir").exit_code == 0
    assert names(out) == ["x.png", "y.png"]
    (tmp_path / "x_ir.png").unlink()
    (tmp_path / "y_ir.png").unlink()
    result = fuse(tmp_path / "other", tmp_path, "-o", out, "--ir-suffix", "_thermal", "--overwrite")
    assert result.exit_code == 0
    assert "2 fused" in result.stdout


def test_one_folder_without_suffixes_is_refused(folders: Path) -> None:
    result = fuse(folders / "ir", folders / "ir", "-o", folders / "out")
    assert result.exit_code == 2
    assert "--ir-suffix" in result.stderr


def test_bad_and_unpaired_are_named_and_the_rest_is_done(folders: Path) -> None:
    (folders / "ir/a.png").write_text("not a picture")
    ir, vis = synthetic_pair(24, 30)
    write_image(folders / "ir/d.png", ir)
    write_image(folders / "vis/d.png", vis[:, 1:])
    write_image(folders / "ir/lonely.png", ir)
    write_image(folders / "vis/single.png", vis)
    result = fuse(folders / "ir", folders / "vis", "-o", folders / "out")
    assert result.exit_code == 3
    assert names(folders / "out") == ["b.png", "c.png"]
    said = result.stderr
    assert "2 failed:\n  a: " in said
    assert str(folders / "ir/a.png") in said
    assert "d.png is 30x24" in said
    assert "d.png is 29x24" in said
    assert "2 unpaired:" in said
    assert "lonely.png: no picture 'lonely' in" in said
    assert "single.png: no picture 'single' in" in said
    assert "2 fused" in result.stdout


def test_two_files_of_one_stem_are_named_and_the_rest_is_done(folders: Path) -> None:
    (folders / "ir/a.bmp").touch()
    result = fuse(folders / "ir", folders / "vis", "-o", folders / "out")
    assert result.exit_code == 3
    assert "a.bmp and a.png share the stem 'a'" in result.stderr
    assert sorted(path.name for path in (folders / "out").iterdir()) == ["b.png", "c.png"]


def test_existing_results(folders: Path) -> None:
    (folders / "out").mkdir()
    (folders / "out/b.png").write_bytes(b"mine")
    arguments = (folders / "ir", folders / "vis", "-o", folders / "out")
    result = fuse(*arguments)
    assert result.exit_code == 1
    assert "1 of 3 results exist" in result.stderr
    assert names(folders / "out") == ["b.png"]  # nothing was done
    result = fuse(*arguments, "--skip-existing")
    assert result.exit_code == 0
    assert "1 existing skipped" in result.stdout
    assert (folders / "out/b.png").read_bytes() == b"mine"
    assert names(folders / "out") == ["a.png", "b.png", "c.png"]
    assert fuse(*arguments, "--skip-existing").exit_code == 0  # nothing left to do
    assert fuse(*arguments, "--overwrite").exit_code == 0
    assert read_image(folders / "out/b.png").shape == (24, 32, 3)
    assert "cannot be combined" in fuse(*arguments, "--overwrite", "--skip-existing").stderr


def test_an_existing_file(folders: Path) -> None:
    arguments = (folders / "ir/a.png", folders / "vis/a.JPG", "-o", folders / "f.png")
    (folders / "f.png").write_bytes(b"mine")
    assert "--overwrite" in fuse(*arguments).stderr
    assert "skipped" in fuse(*arguments, "--skip-existing").stdout
    assert (folders / "f.png").read_bytes() == b"mine"
    assert fuse(*arguments, "--overwrite").exit_code == 0
    assert read_image(folders / "f.png").shape == (24, 32, 3)


def test_inputs_are_never_overwritten(folders: Path) -> None:
    before = (folders / "vis/c.png").read_bytes()
    result = fuse(folders / "ir/c.tif", folders / "vis/c.png", "-o", folders / "vis/c.png", "--overwrite")
    assert result.exit_code == 2
    assert "one of the two inputs" in result.stderr
    result = fuse(folders / "ir", folders / "vis", "-o", folders / "vis", "--overwrite")
    assert result.exit_code == 2
    assert "folder of inputs" in result.stderr
    assert (folders / "vis/c.png").read_bytes() == before


def test_options_reach_the_fuser(folders: Path) -> None:
    ir = np.linspace(20, 40, 24 * 32, dtype=np.float32).reshape(24, 32)
    write_image(folders / "celsius.tif", ir)
    out = folders / "f.tif"
    arguments = ["--ir-range", "20:40", "--depth", "uint16", "--stretch", "--tile", 16, "--threads", 1]
    result = fuse(folders / "celsius.tif", folders / "vis/c.png", "-o", out, *arguments)
    assert result.exit_code == 0, result.output
    expected = Fuser("mean", stretch=True)(ir, read_image(folders / "vis/c.png"), ir_range=(20, 40), depth="uint16")
    assert isinstance(expected, np.ndarray)
    fused = read_image(out)
    assert fused.dtype == np.uint16
    np.testing.assert_allclose(fused, expected, atol=2)


def test_notes_are_said_once(tmp_path: Path) -> None:
    for side in ("ir", "vis"):
        (tmp_path / side).mkdir()
    ir, vis = synthetic_pair(10, 10)
    write_image(tmp_path / "ir/a.png", ir)
    from PIL import Image

    Image.fromarray(vis).convert("RGBA").save(tmp_path / "vis/a.png")
    result = fuse(tmp_path / "ir", tmp_path / "vis", "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert result.stderr.count(f"note: {tmp_path / 'vis/a.png'}: alpha dropped") == 1


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is of POSIX systems")
def test_after_kill_9_a_rerun_continues(tmp_path: Path) -> None:
    count, out = 60, tmp_path / "out"
    for side, picture in zip(("ir", "vis"), synthetic_pair(240, 320), strict=True):
        (tmp_path / side).mkdir()
        write_image(tmp_path / side / "000.png", picture)
        for number in range(1, count):
            os.link(tmp_path / side / "000.png", tmp_path / side / f"{number:03}.png")
    arguments = ["fuse", str(tmp_path / "ir"), str(tmp_path / "vis"), "-o", str(out), "--model", "mean", "-q"]
    process = subprocess.Popen(CMMDL + arguments)
    for _ in range(6000):
        if out.exists() and len(list(out.glob("*.png"))) > 3:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert 3 < len(done) < count
    shapes = {read_image(path).shape for path in done}  # none is half
    assert shapes == {(240, 320, 3)}
    left = atomic._temporary_name(out / "001.png").name.replace(f"-{os.getpid()}-", f"-{process.pid}-")
    (out / left).write_bytes(b"half")
    again = subprocess.run([*CMMDL, *arguments, "--skip-existing"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert names(out) == [f"{number:03}.png" for number in range(count)]  # and no temporary file
    assert {path: path.stat().st_mtime_ns for path in done} == done


def test_float_visible_pictures_become_16_bit_pngs_with_a_note(tmp_path: Path) -> None:
    for side in ("ir", "vis"):
        (tmp_path / side).mkdir()
        write_image(tmp_path / side / "a.tif", np.linspace(0, 1, 80, dtype=np.float32).reshape(8, 10))
    arguments = ["fuse", str(tmp_path / "ir"), str(tmp_path / "vis"), "-o", str(tmp_path / "out"), "--model", "mean"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "16-bit PNGs" in result.output
    fused = read_image(tmp_path / "out" / "a.png")
    assert fused.dtype == np.uint16
    assert fused.max() == 65535
