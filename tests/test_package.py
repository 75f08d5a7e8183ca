"""The package as a newcomer meets it: the command answers at once, public names exist, the documents' code runs."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import pytest

import cmmdl
from cmmdl.files.images import write_image
from cmmdl.scenes import synthetic_pair
from conftest import ROOT

PAGES = ["README.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md")))]
DOCUMENTS = [page for page in PAGES if "```python" in (ROOT / page).read_text(encoding="utf-8")]

SMALL_TRAINING = '"run.steps=2", "model.width=8", "model.blocks=1", "data.crop=48", "data.batch=2"'
"""What a training in the documents is made of in the tests."""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["fuse", "--help"], ["train", "--help"], ["bench", "--help"]]
)
def test_help_does_not_import_torch(arguments: list[str]) -> None:
    call = "import sys; from cmmdl.cli import main; main(sys.argv[1:], standalone_mode=False)"
    code = f"{call}; assert 'torch' not in sys.modules"
    result = python("-c", code, *arguments)
    assert result.returncode == 0, result.stderr
    assert "cmmdl" in result.stdout or "Usage" in result.stdout


def test_version_of_command_and_package_agree() -> None:
    assert python("-m", "cmmdl", "--version").stdout.split()[-1] == cmmdl.__version__
    assert f"version: {cmmdl.__version__}" in (ROOT / "CITATION.cff").read_text()


def test_a_wrong_subcommand_is_answered_with_the_right_one() -> None:
    result = python("-m", "cmmdl", "fues")
    assert result.returncode == 2
    assert "Did you mean 'fuse'?" in result.stderr


def test_public_names_are_there() -> None:
    assert all(getattr(cmmdl, name) is not None for name in cmmdl.__all__)
    assert dir(cmmdl) == sorted(cmmdl.__all__)
    with pytest.raises(AttributeError, match="no attribute 'fuse'"):
        _ = cmmdl.fuse


def test_nothing_imports_torchvision() -> None:
    code = (
        "import sys, cmmdl.fusion.fuser, cmmdl.evaluate, cmmdl.training.loop; assert 'torchvision' not in sys.modules"
    )
    result = python("-c", code)
    assert result.returncode == 0, result.stderr


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that the documents' code takes for granted, small."""
    monkeypatch.chdir(tmp_path)
    for folder in (".", "examples"):
        _draw(tmp_path / folder, "ir", "vis", fused="fused")
    for folder, number in itertools.product((".", "data"), range(3)):
        _draw(tmp_path / folder, f"ir/{number}", f"vis/{number}", number)
        _draw(tmp_path / "data/other", f"ir/{number}", f"vis/{number}", 10 + number)
    for number in range(3):
        _draw(tmp_path / "results", f"scratch/{number}", f"ours/{number}", number)
    _pack_msrs(tmp_path / "MSRS-main.zip")
    shutil.copytree(ROOT / "examples/thermal", tmp_path / "examples/thermal")
    return tmp_path


@pytest.mark.parametrize("document", DOCUMENTS)
def test_python_in_the_documents_runs(document: str, workplace: Path) -> None:
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)
    for block in blocks:
        exec(block.replace('"run.steps=2000"', SMALL_TRAINING), names)


@pytest.mark.parametrize("document", PAGES)
def test_links_in_the_documents_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def _draw(folder: Path, ir: str, vis: str, seed: int = 3, fused: str = "") -> None:
    """A small pair, and for ``fused`` any picture of its size."""
    pictures = dict(zip((ir, vis), synthetic_pair(72, 96, seed), strict=True))
    for name, picture in {**pictures, **({fused: pictures[vis]} if fused else {})}.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, picture)


def _pack_msrs(path: Path) -> None:
    """An archive laid out as MSRS is, of two pairs a part."""
    with zipfile.ZipFile(path, "w") as archive:
        for part, side, number in itertools.product(("train", "test"), ("ir", "vi"), range(2)):
            picture = synthetic_pair(24, 32, 100 * (part == "test") + number)[side == "vi"]
            archive.writestr(f"MSRS-main/{part}/{side}/0{number}N.png", cv2.imencode(".png", picture)[1].tobytes())
