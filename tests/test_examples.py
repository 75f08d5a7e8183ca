"""The examples are short and do what they say."""

from __future__ import annotations

import runpy
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cmmdl import Fuser
from cmmdl.files.images import read_image, write_image
from cmmdl.scenes import synthetic_pair
from cmmdl.weights.cards import TRAINED

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SCRIPTS = sorted(path for path in EXAMPLES.glob("*.py") if not path.name.startswith("make_"))


def main_of(name: str) -> Callable[..., None]:
    main: Callable[..., None] = runpy.run_path(str(EXAMPLES / name))["main"]
    return main


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for side in ("ir", "vis"):
        (tmp_path / side).mkdir()
    for number in range(2):
        ir, vis = synthetic_pair(80, 96, seed=number)
        write_image(tmp_path / f"ir/{number}.png", ir)
        write_image(tmp_path / f"vis/{number}.png", vis)
    return tmp_path


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_examples_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 40


def test_there_are_six() -> None:
    assert len(SCRIPTS) == 6


def test_pair(folders: Path) -> None:
    main_of("pair.py")(folders / "ir/0.png", folders / "vis/0.png", folders / "fused.png", "max")
    expected = Fuser("max")(folders / "ir/0.png", folders / "vis/0.png")
    np.testing.assert_array_equal(read_image(folders / "fused.png"), expected)


def test_folder(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "ir/1.png").write_text("no picture")
    main_of("folder.py")(folders / "ir", folders / "vis", folders / "out", "max")
    said = capsys.readouterr().out
    assert "0: fused" in said
    assert "1: " in said
    assert [path.name for path in (folders / "out").iterdir()] == ["0.png"]


def test_finetune(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("accelerate", reason='needs pip install "cmmdl[train]"')
    main_of("finetune.py")(folders / "ir", folders / "vis", folders / "run", "2")
    assert "2 steps" in capsys.readouterr().out
    assert (folders / "run/last.safetensors").is_file()


def test_own_metrics(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main_of("folder.py")(folders / "ir", folders / "vis", folders / "out", "mean")
    main_of("own_metrics.py")(folders / "out", folders / "ir", folders / "vis")
    assert "ours: Qabf 0." in capsys.readouterr().out


def test_onnx_without_torch(folders: Path) -> None:
    pytest.importorskip("onnxruntime", reason='needs pip install "cmmdl[onnx]"')
    files = folders / "ir/0.png", folders / "vis/0.png"
    main_of("onnx_without_torch.py")(str(TRAINED / "cmmdl-rt.onnx"), *files, folders / "fused.png")
    expected = Fuser("cmmdl-rt", backend="onnxruntime")(*files).astype(int)
    difference = np.abs(read_image(folders / "fused.png").astype(int) - expected)
    assert (difference <= 1).mean() > 0.98  # where chroma has no room, CMMDL scales it and the example clips


def test_client(folders: Path) -> None:
    uvicorn = pytest.importorskip("uvicorn", reason='needs pip install "cmmdl[serve]"')
    from cmmdl.serve.app import create_app
    from cmmdl.serve.settings import Settings

    opened = socket.create_server(("127.0.0.1", 0))
    server: Any = uvicorn.Server(uvicorn.Config(create_app(Settings(models=("max",))), log_level="error"))
    thread = threading.Thread(target=server.run, args=([opened],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    url = f"http://127.0.0.1:{opened.getsockname()[1]}"
    main_of("client.py")(folders / "ir/0.png", folders / "vis/0.png", folders / "fused.png", url)
    server.should_exit = True
    thread.join(10)
    expected = Fuser("max")(folders / "ir/0.png", folders / "vis/0.png")
    np.testing.assert_array_equal(read_image(folders / "fused.png"), expected)
