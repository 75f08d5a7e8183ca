"""Which device ``auto`` means, on systems that are simulated here."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cmmdl.cli import main
from cmmdl.errors import UserError
from cmmdl.fusion.fuser import Fuser
from cmmdl.models.baselines import MeanFusion
from cmmdl.runtimes import choice, device
from cmmdl.runtimes.device import automatic_device, find_device, may_have_gpu
from cmmdl.runtimes.pytorch import TorchBackend


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A Linux computer without any GPU, whose drivers' files would lie in a folder of the test."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(device, "DRIVERS", tuple(f"{tmp_path}{driver}" for driver in device.DRIVERS))
    monkeypatch.setenv("SYSTEMROOT", str(tmp_path / "windows"))
    for name in ("torch.cuda.is_available", "torch.backends.mps.is_available", "torch.xpu.is_available"):
        monkeypatch.setattr(name, lambda: False)
    return tmp_path


@pytest.mark.parametrize(
    "file",
    [
        "proc/driver/nvidia/version",
        "dev/nvidiactl",
        "dev/dxg",  # WSL2
        "dev/kfd",  # ROCm
        "dev/nvhost-gpu",  # Jetson
        "dev/nvgpu/igpu0/ctrl",  # Jetson, JetPack 6
        "windows/System32/nvcuda.dll",
    ],
)
def test_systems_with_a_gpu(bare: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    assert not may_have_gpu()
    assert not choice._has_gpu()
    (bare / file).parent.mkdir(parents=True)
    (bare / file).touch()
    assert may_have_gpu()
    assert not choice._has_gpu()  # torch finds none: built for the CPU
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert choice._has_gpu()
    assert choice.choose_backend("cmmdl-rt") == "torch"
    assert choice.choose_backend("cmmdl-rt", device="cpu") != "torch"


def test_a_mac_with_apple_silicon(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert not may_have_gpu()
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert may_have_gpu()


def test_a_torch_for_intel_gpus(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_torch_build", lambda: "xpu")
    assert may_have_gpu()


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ((), "cpu"),
        (("mps",), "mps"),
        (("xpu",), "xpu"),
        (("cuda", "mps"), "cuda"),
    ],
)
def test_auto_means_one_thing(
    bare: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], expected: str
) -> None:
    places = {"cuda": "torch.cuda", "mps": "torch.backends.mps", "xpu": "torch.xpu"}
    for name in there:
        monkeypatch.setattr(f"{places[name]}.is_available", lambda: True)
    assert automatic_device().type == expected
    assert find_device("auto").type == expected


def test_a_device_that_is_not_there_is_one_line() -> None:
    for name in ("cuda:7", "mps", "tpu9", "cpu:x"):
        if not (name.startswith("cuda") and torch.cuda.is_available()):
            with pytest.raises(UserError, match="is not there"):
                find_device(name)


class OnMps(torch.nn.Module):
    """A method that uses what Apple's GPU lacks, as long as it is there."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error: Exception | None = error

    def to(self, *args: object, **kwargs: object) -> OnMps:
        if args and str(args[0]) == "cpu":
            self.error = None
        return self

    def forward(self, ir: torch.Tensor, vis: torch.Tensor) -> torch.Tensor:
        if self.error:
            raise self.error
        return torch.maximum(ir, vis)


ERRORS = [
    NotImplementedError("The operator 'aten::_linalg_eigh' is not currently implemented for the MPS device."),
    TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."),
    RuntimeError("MPS: Unsupported Border padding mode"),
]


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors stay on the CPU and the backend takes them to be on Apple's GPU."""
    try:
        torch.autocast("mps", torch.bfloat16, enabled=False)
    except RuntimeError:
        pytest.skip("this torch knows autocast for MPS on a Mac only")
    monkeypatch.setattr(
        "cmmdl.runtimes.pytorch.find_device", lambda name: torch.device("cpu" if str(name) == "cpu" else "mps")
    )
    monkeypatch.setattr(TorchBackend, "_tensor", lambda self, pixels: torch.as_tensor(pixels).to(torch.float32))


@pytest.mark.usefixtures("mac")
@pytest.mark.parametrize("error", ERRORS)
def test_what_mps_lacks_is_one_line_or_runs_on_the_cpu(error: Exception) -> None:
    picture = np.full((8, 8), 7, np.uint8)
    with pytest.raises(UserError, match=r"device mps cannot run this model .*; use --device cpu"):
        Fuser(OnMps(error), device="mps")(picture, picture)
    notes: list[str] = []
    fuser = Fuser(OnMps(error), device="auto", note=notes.append)
    assert (fuser(picture, picture) == 7).all()
    assert str(fuser.device) == "cpu"
    assert len([note for note in notes if "fused on the CPU" in note]) == 1


@pytest.mark.usefixtures("mac")
def test_mps_has_no_float64() -> None:
    with pytest.raises(UserError, match=r"device mps has no float64; use --device cpu, or --precision float32"):
        TorchBackend(MeanFusion(), device="mps", precision="float64")
    assert str(TorchBackend(MeanFusion(), device="auto", precision="float64").device) == "cpu"


@pytest.mark.usefixtures("mac")
def test_errors_of_a_program_stay_what_they_are() -> None:
    with pytest.raises(TypeError, match="not callable"):
        TorchBackend(OnMps(TypeError("'int' object is not callable")), device="mps").run(
            np.zeros((1, 1, 8, 8), np.float32), np.zeros((1, 1, 8, 8), np.float32)
        )


def test_doctor_names_a_mac_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    monkeypatch.setattr(choice, "_has_gpu", lambda: False)
    assert "chosen automatically" in CliRunner().invoke(main, ["doctor"]).stdout


def test_training_takes_the_device_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = pytest.importorskip("cmmdl.training.setup")
    chosen: list[str] = []
    monkeypatch.setattr("torch.cuda.set_device", lambda device: chosen.append(str(device)))
    monkeypatch.delenv(setup.DEVICE_VARIABLE, raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with setup._on(torch.device("cuda:1"), named=True):
        assert os.environ[setup.DEVICE_VARIABLE] == "cuda:1"  # what Accelerate reads
    assert chosen == ["cuda:1"]
    assert setup.DEVICE_VARIABLE not in os.environ
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(UserError, match="several processes share all of them"),
        setup._on(torch.device("cuda:1"), named=True),
    ):
        pass


@pytest.mark.slow
def test_accelerate_reads_that_variable() -> None:
    code = (
        "import torch\nfrom cmmdl.training import setup\nfrom cmmdl.training.configfile import load_config\n"
        "setup.find_device = lambda name: torch.device('meta')\n"
        "config = load_config(None, ['run.device=mps'], data={'sources': [{'ir': 'a', 'vis': 'b'}]})\n"
        "print(setup.make_accelerator(config).device)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "meta"
