"""``cmmdl fuse --shard``: parts of a folder that together are the folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cmmdl.cli import main
from cmmdl.files.images import write_image
from cmmdl.scenes import synthetic_pair

COUNT = 7


@pytest.fixture(autouse=True)
def keep_the_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmmdl.models.allocator.reuse_memory", lambda: True)


def fuse(folder: Path, out: str, *more: object) -> Result:
    call = ["fuse", folder / "ir", folder / "vis", "-o", folder / out, "--model", "mean", *more]
    return CliRunner().invoke(main, [*map(str, call)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven pairs; the infrared ones have 14 bits, and each spans values of its own."""
    for number in range(COUNT):
        ir, vis = synthetic_pair(24, 32, seed=number)
        write_image(place(tmp_path, "ir", number), (5000 + 40 * number + 4 * ir.astype(np.uint16)))
        write_image(place(tmp_path, "vis", number), vis)
    return tmp_path


def place(folder: Path, side: str, number: int) -> Path:
    (folder / side).mkdir(exist_ok=True)
    return folder / side / f"{number:02}.png"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("shards", [1, 3, 7, 9])
def test_shards_in_any_order_are_the_folder(folder: Path, shards: int) -> None:
    assert fuse(folder, "whole").exit_code == 0
    seen: set[str] = set()
    for number in [*range(2, shards + 1), 1]:
        before = contents(folder / "parts") if (folder / "parts").exists() else {}
        result = fuse(folder, "parts", "--shard", f"{number}/{shards}")
        assert result.exit_code == 0, result.output
        new = contents(folder / "parts").keys() - before.keys()
        assert abs(len(new) - COUNT / shards) < 1
        assert not new & seen
        seen |= new
    assert contents(folder / "parts") == contents(folder / "whole")


def test_the_range_is_that_of_the_whole_folder(folder: Path) -> None:
    fuse(folder, "parts", "--shard", "1/7")
    alone = folder / "alone"
    for side in ("ir", "vis"):
        (alone / side).mkdir(parents=True)
        (alone / side / "00.png").write_bytes((folder / side / "00.png").read_bytes())
    fuse(alone, "parts")
    assert contents(folder / "parts").keys() == contents(alone / "parts").keys()
    assert contents(folder / "parts") != contents(alone / "parts"), "the pair alone spans another range"


def test_a_shard_again(folder: Path) -> None:
    assert fuse(folder, "parts", "--shard", "2/3").exit_code == 0
    first = {path: path.stat().st_mtime_ns for path in (folder / "parts").iterdir()}
    assert fuse(folder, "parts", "--shard", "2/3").exit_code == 1
    (folder / "parts/04.png").unlink()
    again = fuse(folder, "parts", "--shard", "2/3", "--skip-existing")
    assert again.exit_code == 0
    assert "1 existing skipped" in again.stdout
    assert first.keys() == set((folder / "parts").iterdir())
    assert (folder / "parts/01.png").stat().st_mtime_ns == first[folder / "parts/01.png"]
    assert fuse(folder, "parts", "--shard", "3/3").exit_code == 0, "other shards' results do not count as existing"


def test_pictures_without_partner_are_told_once(folder: Path) -> None:
    (folder / "vis/05.png").unlink()
    codes = {number: fuse(folder, "parts", "--shard", f"{number}/2") for number in (1, 2)}
    assert [codes[number].exit_code for number in (1, 2)] == [3, 0]
    assert "05.png" in codes[1].stderr
    assert "05.png" not in codes[2].stderr


def test_a_shard_without_pairs(folder: Path) -> None:
    result = fuse(folder, "parts", "--shard", "9/9")
    assert result.exit_code == 0
    assert "shard 9/9 is empty: there are 7 pairs" in result.stdout


@pytest.mark.parametrize("text", ["0/3", "4/3", "0/0", "1/0", "-1/3", "1", "1/3/5", "a/b", "1.5/3", "", "١/٣"])
def test_a_shard_out_of_range_is_wrong_usage(folder: Path, text: str) -> None:
    result = fuse(folder, "parts", "--shard", text)
    assert result.exit_code == 2
    assert "--shard" in result.stderr
    assert not (folder / "parts").exists()


def test_two_files_have_no_shards(folder: Path) -> None:
    call = ["fuse", folder / "ir/00.png", folder / "vis/00.png", "-o", folder / "one.png", "--shard", "1/1"]
    result = CliRunner().invoke(main, [*map(str, call)])
    assert result.exit_code == 2
    assert not (folder / "one.png").exists()


def test_clips_have_no_shards(folder: Path) -> None:
    call = ["fuse", folder / "a.mp4", folder / "b.mp4", "-o", folder / "c.mp4", "--shard", "1/2"]
    result = CliRunner().invoke(main, [*map(str, call)])
    assert result.exit_code == 2
    assert "--shard is for pictures" in result.stderr
