"""``cmmdl data``: what it prints, writes and exits with."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cmmdl.cli import main
from cmmdl.datasets.archive import sha256_of
from test_datasets import PUBLISHED, pair


def data(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """RoadScene with two pairs and one picture alone, as a ZIP."""
    folder = tmp_path / "RoadScene-master"
    for seed in range(3):
        pair(folder, f"FLIR_{seed}", seed, ("cropinfrared", "crop_LR_visible"))
    (folder / "cropinfrared/FLIR_2.png").unlink()
    return Path(shutil.make_archive(str(folder), "zip", tmp_path, folder.name))


def test_list() -> None:
    result = data("list")
    assert result.exit_code == 0
    assert {line.split()[0] for line in result.stdout.splitlines()[1:-2]} == set(PUBLISHED)
    assert {entry["name"] for entry in json.loads(data("list", "--json").stdout)} == set(PUBLISHED)


def test_all_that_is_known_of_one() -> None:
    text = data("list", "llvip").stdout
    for part in (
        "https://github.com/bupt-ai-cz/LLVIP",
        "12025 train, 3463 test",
        "infrared/train with visible/train",
        "OUT/test/vis",
        "cmmdl data prepare llvip --from",
    ):
        assert part in text


def test_prepare_and_check(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "data" / "road"
    result = data("prepare", "roadscene", "--from", archive, "-o", out, "--sha256", sha256_of(archive))
    assert result.exit_code == 3
    assert f"SHA-256 {sha256_of(archive)}" in result.stdout
    assert f"{out / 'all'}: 2 pairs, 1 picture without partner" in result.stdout
    assert "RoadScene-master/crop_LR_visible/FLIR_2.png" in result.stdout
    checked = data("check", out)  # knows from data.json what it should be
    assert checked.exit_code == 3
    assert "count, all: 2 sound pairs, 221 are published" in checked.stdout
    (out / "data.json").unlink()
    sound = data("check", out)
    assert (sound.exit_code, sound.stdout.splitlines()[-1]) == (0, "no problems")
    assert data("check", out, "-q").output == ""


def test_dry_run_writes_nothing(archive: Path, tmp_path: Path) -> None:
    result = data("prepare", "roadscene", "--from", archive, "-o", tmp_path / "out", "--dry-run", "--json")
    planned = json.loads(result.stdout)
    assert result.exit_code == 0
    assert planned["planned"]["all"] == {"pairs": 2, "unpaired": ["RoadScene-master/crop_LR_visible/FLIR_2.png"]}
    assert planned["sha256"] == sha256_of(archive)
    assert not (tmp_path / "out").exists()


def test_json_is_all_that_is_printed(archive: Path, tmp_path: Path) -> None:
    result = data("prepare", "roadscene", "--from", archive, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 3
    assert [one["kind"] for one in json.loads(result.stdout)["problems"]] == ["count", "unpaired"]
    checked = json.loads(data("check", tmp_path / "out", "--json").stdout)
    assert checked["sets"][0] == {"name": "all", "sides": ["ir", "vis"], "pairs": 2, "sizes": {"40x30": 2}}


def test_against_another_folder(tmp_path: Path) -> None:
    pair(tmp_path / "one", "a", 1)
    pair(tmp_path / "two", "b", 1)
    result = data("check", tmp_path / "one", "--against", tmp_path / "two")
    assert result.exit_code == 3
    assert f"one/ir/a = {tmp_path / 'two'}/ir/b" in result.stdout


def test_errors_are_one_line(archive: Path, tmp_path: Path) -> None:
    result = data("prepare", "msrs", "--from", archive, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "does not look like MSRS" in result.stderr
    pair(tmp_path / "bad", "a", 1)
    (tmp_path / "bad/data.json").write_text("[]")
    assert "remove it, or pass --as NAME" in data("check", tmp_path / "bad").stderr


def test_it_does_not_import_torch(tmp_path: Path) -> None:
    pair(tmp_path, "a", 1)
    call = f"from cmmdl.cli import main; main(['data', 'check', {str(tmp_path)!r}], standalone_mode=False)"
    code = f"import sys; {call}; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
