"""The benchmark of a GPU, rehearsed on a CPU: no part of it fails, and what was measured before stays."""

from __future__ import annotations

import importlib.util
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest
import torch

from cmmdl.runtimes.pytorch import whole_float32

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, away from any GPU and in the folder that recipes are relative to."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    spec = importlib.util.spec_from_file_location("gpu", ROOT / "benchmarks" / "gpu.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "MODELS", ["cmmdl-rt", "laplacian"])
    monkeypatch.setattr(module, "NETWORKS", ["cmmdl-rt"])
    return module


def test_every_part_runs(gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "-o", str(out), "--rehearse"])
    gpu.main()
    results = json.loads(out.read_text())
    assert list(results) == ["machine", "parity", "speed", "tiles", "layout", "training"]
    assert all(results[part]["complete"] for part in gpu.PARTS)
    recipes = {(row["recipe"], row["recorded"]) for row in results["training"]["rows"]}
    assert recipes == {("cmmdl-ivf", False), ("cmmdl-rt", False)}
    assert max(row["max"] for row in results["parity"]["rows"] if row["precision"] == "float32") < 1e-2


def test_a_part_measured_later_keeps_the_others(gpu: ModuleType, tmp_path: Path) -> None:
    out, machine = tmp_path / "gpu.json", gpu.Machine(rehearse=True)
    gpu.measure(machine, out, ["speed"], 1.0)
    before = json.loads(out.read_text())["speed"]
    results = gpu.measure(machine, out, ["tiles"], 1.0)
    assert json.loads(out.read_text()) == results
    assert results["speed"] == before
    assert results["tiles"]["complete"]
    assert gpu.tables(results).count("not measured") == 3
    gpu.measure(gpu.Machine(rehearse=True), tmp_path / "other.json", ["tiles"], 0.0)
    assert not json.loads((tmp_path / "other.json").read_text())["tiles"]["complete"]


def test_a_part_that_fails_is_told(gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> object:
        raise RuntimeError("no such luck")

    monkeypatch.setitem(gpu.PARTS, "layout", (broken, 40))
    monkeypatch.setattr(sys, "argv", ["gpu.py", "-o", str(tmp_path / "gpu.json"), "--rehearse", "--only", "layout"])
    with pytest.raises(SystemExit, match=r"failed: layout; the reason is in .*gpu\.json"):
        gpu.main()
    assert "no such luck" in json.loads((tmp_path / "gpu.json").read_text())["layout"]["error"]


def test_a_stretch_of_training_tells_how_it_ended(gpu: ModuleType, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[run]\nsteps = 2\n")
    told = gpu.stretch_of_training(recipe, ["run.sed=1"], 120)
    assert not told["stopped"]
    assert told["exit status"] == 2, "there is no such setting"


@pytest.fixture
def tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's own default, without which these tests tell nothing."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)


@pytest.mark.usefixtures("tf32")
def test_float32_is_whole_in_a_backend() -> None:
    with whole_float32():
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.usefixtures("tf32")
def test_float32_is_whole_until_the_last_of_several_threads_is_out() -> None:
    first, second = whole_float32(), whole_float32()
    with ExitStack() as outer:
        with ExitStack() as inner:
            inner.enter_context(first)
            outer.enter_context(second)
        assert not torch.backends.cudnn.allow_tf32, "the second is still in"
    assert torch.backends.cudnn.allow_tf32
