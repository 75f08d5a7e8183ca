"""The package as a newcomer meets it: the command answers at once, public names exist, the documents' code runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import cmmdl
from conftest import ROOT

DOCUMENTS = ["README.md", "docs/quickstart.md"]


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


@pytest.mark.parametrize("document", DOCUMENTS)
def test_python_in_the_documents_runs(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path, tmp_path / "examples"):
        folder.mkdir(exist_ok=True)
        for name in ("ir.png", "vis.png"):
            _small_copy(ROOT / "examples" / name, folder / name)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, names)


@pytest.mark.parametrize(
    "document", ["README.md", *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "docs").glob("*.md")))]
)
def test_links_in_the_documents_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def _small_copy(source: Path, target: Path) -> None:
    from PIL import Image

    Image.open(source).resize((96, 72)).save(target)
