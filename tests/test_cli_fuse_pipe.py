"""Fusing without -o, through pipes, and for programs."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cmmdl import Fuser
from cmmdl.cli import main
from cmmdl.files.images import read_image, write_image
from cmmdl.scenes import synthetic_pair

MODEL = ["--model", "max"]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "ir.png", tmp_path / "vis.png"
    for path, picture in zip(paths, synthetic_pair(30, 44), strict=True):
        write_image(path, picture)
    return paths


def test_without_a_name_the_result_lies_beside_the_infrared_picture(pair: tuple[Path, Path]) -> None:
    result = CliRunner().invoke(main, ["fuse", *map(str, pair), *MODEL])
    assert result.exit_code == 0, result.output
    out = pair[0].with_name("ir.fused.png")
    assert str(out) in result.stdout
    np.testing.assert_array_equal(read_image(out), Fuser("max")(*pair))
    before = out.read_bytes()
    again = CliRunner().invoke(main, ["fuse", *map(str, pair), "--model", "mean"])
    assert again.exit_code == 1
    assert "exists" in again.stderr
    assert out.read_bytes() == before


def test_folders_need_a_place_for_the_results(tmp_path: Path) -> None:
    (tmp_path / "ir").mkdir()
    (tmp_path / "vis").mkdir()
    result = CliRunner().invoke(main, ["fuse", str(tmp_path / "ir"), str(tmp_path / "vis"), *MODEL])
    assert result.exit_code == 2
    assert "-o" in result.stderr


@pytest.mark.parametrize("piped", [0, 1])
def test_pictures_go_through_pipes(pair: tuple[Path, Path], piped: int) -> None:
    sides = [str(path) for path in pair]
    data, sides[piped] = pair[piped].read_bytes(), "-"
    command = [sys.executable, "-m", "cmmdl", "fuse", *sides, "-o", "-", *MODEL]
    result = subprocess.run(command, input=data, capture_output=True, timeout=120, check=True)
    got = np.asarray(Image.open(io.BytesIO(result.stdout)))
    np.testing.assert_array_equal(got, Fuser("max")(*pair))


def test_a_tiff_comes_through_a_pipe(pair: tuple[Path, Path]) -> None:
    tiff = pair[0].with_suffix(".tif")
    write_image(tiff, read_image(pair[0]))
    command = [sys.executable, "-m", "cmmdl", "fuse", "-", str(pair[1]), "-o", "-", *MODEL]
    result = subprocess.run(command, input=tiff.read_bytes(), capture_output=True, timeout=120, check=True)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(result.stdout))), Fuser("max")(*pair))


@pytest.mark.parametrize(
    ("sides", "data", "status", "words"),
    [
        (["-", "-"], b"x", 2, "standard input can be one"),
        (["-", "vis.png"], b"", 1, "standard input is empty"),
        (["-", "vis.png"], b"no picture", 1, "standard input"),
    ],
)
def test_bad_pipes(pair: tuple[Path, Path], sides: list[str], data: bytes, status: int, words: str) -> None:
    arguments = [str(pair[1]) if side == "vis.png" else side for side in sides]
    result = CliRunner().invoke(main, ["fuse", *arguments, "-o", "-", *MODEL], input=data)
    assert result.exit_code == status
    assert words in result.stderr
    assert "/proc/" not in result.stderr
    assert result.stdout == ""


def test_json_of_a_pair_and_of_a_folder(pair: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "fused.png"
    result = CliRunner().invoke(main, ["fuse", *map(str, pair), "-o", str(out), *MODEL, "--json"])
    facts = json.loads(result.stdout)
    assert facts["output"] == str(out)
    assert facts["seconds"] > 0
    for number, side in enumerate(("ir", "vis")):
        (tmp_path / side).mkdir()
        (tmp_path / side / "a.png").write_bytes(pair[number].read_bytes())
    (tmp_path / "ir/b.png").write_text("bad")
    (tmp_path / "vis/b.png").write_bytes(pair[1].read_bytes())
    folders = [str(tmp_path / "ir"), str(tmp_path / "vis"), "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(main, ["fuse", *folders, *MODEL, "--json"])
    assert result.exit_code == 3
    facts = json.loads(result.stdout)
    assert facts["done"] == [str(tmp_path / "out/a.png")]
    assert len(facts["failed"]) == 1
