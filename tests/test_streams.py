"""Commands in encodings other than UTF-8, as pipes on Windows have them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cmmdl.files.images import write_image
from cmmdl.scenes import synthetic_pair


def run(folder: Path, encoding: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-m", "cmmdl", *arguments], cwd=folder, env=environment, capture_output=True, timeout=200
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pairs whose names no single-byte encoding has, of four results."""
    for number, stem in enumerate(("図像→1", "Gebäude−2")):
        for side, picture in zip(("ir", "vis"), synthetic_pair(48, 64, number), strict=True):
            (tmp_path / side).mkdir(exist_ok=True)
            write_image(tmp_path / side / f"{stem}.png", picture)
    return tmp_path


@pytest.mark.parametrize("encoding", ["cp1252", "cp932"])
def test_no_character_stops_a_command(folder: Path, encoding: str) -> None:
    done = run(
        folder,
        encoding,
        "evaluate",
        "ir",
        "vis",
        "--baseline",
        "max",
        "--baseline",
        "mean",
        "--workers",
        "1",
        "--metrics",
        "EN,SD",
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    (folder / "ir/図像→1.png").write_bytes(b"no picture")
    (folder / "vis/−.png").touch()
    done = run(folder, encoding, "fuse", "ir", "vis", "-o", "図→", "--model", "max")
    assert done.returncode == 3, done.stderr
    assert b"Traceback" not in done.stderr
    assert (folder / "図→/Gebäude−2.png").exists()
    assert done.stdout.decode(encoding)


@pytest.mark.parametrize("command", [["--help"], ["evaluate", "--list-metrics"], ["models"], ["fuse", "--help"]])
def test_help_and_tables(tmp_path: Path, command: list[str]) -> None:
    done = run(tmp_path, "cp1252", *command)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "\\u" not in done.stdout.decode("cp1252")  # every sign of ours has a plain form


def test_signs_have_plain_forms(tmp_path: Path) -> None:
    done = run(tmp_path, "cp1252", "fuse", "−→.png", "図.png", "-o", "x.png")
    assert done.returncode == 1
    assert b"error: -->.png" in done.stderr
