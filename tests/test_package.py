"""The package as a newcomer meets it: the command answers at once, public names exist, the documents' code runs."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

import cmmdl
from cmmdl.bench.video import draw_clips
from cmmdl.files.images import write_image
from cmmdl.scenes import synthetic_pair
from cmmdl.weights.cards import TRAINED
from conftest import ROOT
from radiometric import write_flir

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


def test_the_shell_is_told_how_commands_go_on() -> None:
    asked = {"COMP_WORDS": "cmmdl fu", "COMP_CWORD": "1", "_CMMDL_COMPLETE": "bash_complete"}
    call = [sys.executable, "-c", "from cmmdl.cli import main; main(prog_name='cmmdl')"]
    result = subprocess.run(call, env={**os.environ, **asked}, capture_output=True, text=True, timeout=120, check=True)
    assert result.stdout == "plain,fuse\n"


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


NOT_HERE = {
    "pip install": "a network",
    "python3 -m venv": "a network",
    "make": "the whole checkout; CI runs it",
    "docker": "a container engine",
    "cmmdl serve": "runs until it is stopped; tests/test_serve_page.py starts it",
    "curl": "a server; examples/client.py is the same",
    "tensorboard": "runs until it is stopped",
    "accelerate": "tests/test_training_processes.py",
    "torchrun": "tests/test_training_processes.py",
    "hosts=": "other machines",
    "#!/bin/sh": "a cluster",
    "ffmpeg": "ffmpeg, and a camera's clip",
    "gst-launch": "a camera",
    "cmmdl fuse rtsp:": "a camera",
    "cmmdl fuse /dev/video": "a camera",
    "cmmdl fuse s3:": "a bucket; tests/test_ray.py has one",
    "cmmdl data check data/msrs": "the whole set: of a part of it the check does not hold",
    "exiftool": "exiftool",
    "cmmdl train configs/": "the data of the recipes, and days",
    "cmmdl average runs/cmmdl": "the runs of the recipes",
    "_CMMDL": "the user's own shell",
    "cmmdl models --json | jq": "jq",
}
"""Beginnings of documented commands that are not run here, and what they need."""

SMALLER = {
    "--set run.steps=2000": "--set run.steps=2 --set model.width=64",
    "--size 320x240 --size 640x480": "--size 64x48",
    "--seconds 300": "--seconds 1",
    "cmmdl bench ": "cmmdl bench --size 64x48 --backend torch ",
    "cmmdl bench\n": "cmmdl bench --size 64x48 --backend torch\n",
    "--backend torch --backend torch": "--backend torch",
    "cmmdl train --ir": "cmmdl train --set run.steps=2 --set data.crop=48 --set data.batch=2 --ir",
}
"""What takes long, and what is run instead."""


RUN_AS_PRINTED = [
    "README.md",
    *(
        f"docs/{name}.md"
        for name in (
            "alignment",
            "bench",
            "browser",
            "cmmdl-ivf",
            "cmmdl-mif",
            "cmmdl-mif-rt",
            "cmmdl-rt",
            "data",
            "exit-codes",
            "index",
            "many-machines",
            "packages",
            "quickstart",
            "serve",
            "sheets",
            "video",
        )
    ),
]
"""Pages whose shell blocks run here; those of docs/evaluate.md run in tests/test_evaluate.py."""

AS_IN_A_SHELL = """set -e
cmmdl() {
  case "$*" in *--skip-existing*) ;; fuse*|sheet*) set -- "$@" --overwrite ;; esac
  "$PYTHON" -m cmmdl "$@"
}"""
"""The command, which replaces what an earlier block made."""


def shell_blocks(page: str) -> list[str]:
    """The shell blocks of a page, without the commands that cannot run in a test; comments and continuations joined."""
    blocks = []
    for block in re.findall(r"```(?:sh|bash)\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL):
        lines = re.sub(r" +#.*", "", block.replace("\\\n", " ")).splitlines()
        if lines and not any(lines[0].startswith(start) for start in ("hosts=", "#!", "ffmpeg", "gst")):
            blocks.append("\n".join(line for line in lines if not line.startswith(tuple(NOT_HERE))) + "\n")
    return [block for block in blocks if "cmmdl" in block]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN_AS_PRINTED)
def test_shell_in_the_documents_runs(page: str, workplace: Path) -> None:
    _stock(workplace, (240, 320) if "alignment" in page else (72, 96))
    for block in shell_blocks(page):
        for long, short in SMALLER.items():
            block = block.replace(long, short)
        script = f"{AS_IN_A_SHELL}\n{block}"
        home = {"HOME": str(workplace), "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
        call = ["sh", "-c", script]
        result = subprocess.run(
            call, env={**os.environ, **home}, capture_output=True, text=True, timeout=280, check=False
        )
        assert result.returncode == 0, f"{block}\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}"


@pytest.mark.parametrize("document", PAGES)
def test_links_in_the_documents_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def _draw(folder: Path, ir: str, vis: str, seed: int = 3, fused: str = "", size: tuple[int, int] = (72, 96)) -> None:
    """A small pair, and for ``fused`` any picture of its size."""
    pictures = dict(zip((ir, vis), synthetic_pair(*size, seed), strict=True))
    for name, picture in {**pictures, **({fused: pictures[vis]} if fused else {})}.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, picture)


def _stock(place: Path, size: tuple[int, int]) -> None:
    """What the shell blocks take for granted beyond what Python's do."""
    for name in ("Downloads", "results/ours", "results/theirs", "other", "pairs", "named"):
        (place / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(place / "MSRS-main.zip", place / "Downloads")
    ir, vis = synthetic_pair(*size, 3)
    _draw(place, "ir", "vis", fused="fused", size=size)
    for number in range(3):
        for side in ("ir", "vis"):
            for folder in ("day", "night", "my", "data", "data/train", "data/test", "val"):
                _draw(
                    place / folder,
                    f"ir/{number}",
                    f"vis/{number}",
                    20 + number + 9 * (folder == "data/test"),
                    size=size,
                )
            shutil.copy(place / side / f"{number}.png", place / f"pairs/{number}_{side}.png")
        for folder in ("results", "results/ours", "results/theirs", "other"):
            shutil.copy(place / f"vis/{number}.png", place / folder / f"{number}.png")
        shutil.copy(place / f"vis/{number}.png", place / f"named/{number}_ours.png")
    pictures = {"thermal.png": ir, "photo.jpg": vis, "mri.png": ir, "pet.png": vis, "vis8.png": vis}
    pictures |= {"ir16.png": ir.astype("uint16") * 257, "thermal.tif": ir.astype("float32") / 10 + 18}
    for name, picture in pictures.items():
        write_image(place / name, picture)
    counts, photo = (np.kron(array, np.ones(scale, np.uint8)) for array, scale in ((ir, (2, 2)), (vis, (4, 4, 1))))
    write_flir(place / "FLIR.jpg", 13000 + 8 * counts.astype(np.uint16), photo)
    (place / "published.json").write_text('{"published": {"EN": 6.5, "SD": 40.0, "MI": 2.0}}')
    shutil.copy(TRAINED / "cmmdl-rt.onnx", place / "model.onnx")
    draw_clips(place, 96, 72, 8)


def _pack_msrs(path: Path) -> None:
    """An archive laid out as MSRS is, of two pairs a part."""
    with zipfile.ZipFile(path, "w") as archive:
        for part, side, number in itertools.product(("train", "test"), ("ir", "vi"), range(2)):
            picture = synthetic_pair(24, 32, 100 * (part == "test") + number)[side == "vi"]
            archive.writestr(f"MSRS-main/{part}/{side}/0{number}N.png", cv2.imencode(".png", picture)[1].tobytes())
