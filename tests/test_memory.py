"""What a pixel is taken to need of memory, what is free on any system, and what a container leaves."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from cmmdl.fusion.fuser import Fuser
from cmmdl.models.baselines import MeanFusion
from cmmdl.models.cmmdl import CMMDL, CMMDLConfig
from cmmdl.models.rt import CMMDLRT, CMMDLRTConfig
from cmmdl.runtimes import cgroups, device, memory
from cmmdl.runtimes.pytorch import TorchBackend, bytes_per_pixel

ROOT = Path(__file__).resolve().parents[1]
TINY = CMMDLConfig(width=8, blocks=1, heads=2)


@pytest.mark.parametrize(
    ("model", "where", "expected"),
    [
        (CMMDL(TINY), "cpu", 4 * (9 * 8 + 25)),
        (CMMDL(TINY), "cuda", 4 * (24 * 8 + 25)),
        (CMMDL(CMMDLConfig(width=16, blocks=1, heads=2)), "cpu", 4 * (9 * 16 + 25)),
        (CMMDLRT(), "cpu", 500),
        (CMMDLRT(CMMDLRTConfig(width=64)), "cpu", 900),
        (torch.nn.Conv2d(1, 1, 1), "cpu", 4 * (24 * 64 + 25)),
        (MeanFusion(), "cpu", 256),
    ],
)
def test_estimates_go_with_the_width(model: torch.nn.Module, where: str, expected: float) -> None:
    assert bytes_per_pixel(model, torch.device(where)) == expected


def test_what_is_set_aside_on_a_gpu_covers_what_was_measured() -> None:
    rows = json.loads((ROOT / "docs" / "gpu.json").read_text(encoding="utf-8"))["speed"]["rows"]
    peaks = [row for row in rows if row["model"] == "cmmdl-ivf"]
    assert len(peaks) == 6
    for row in peaks:
        width, height = map(int, row["size"].split("x"))
        aside = memory.bytes_as_a_whole(CMMDLConfig().width) * width * height
        assert row["peak_mib"] * 2**20 < aside < 1.6 * row["peak_mib"] * 2**20


def test_double_precision_needs_twice_as_much() -> None:
    assert TorchBackend(CMMDL(TINY), device="cpu", precision="float64").bytes_per_pixel == 2 * 4 * (9 * 8 + 25)


class Stranger(torch.nn.Module):
    """A module of somebody else, whose attributes only sound like ours."""

    bytes_per_pixel = "many"
    reach = "far"

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def merged(self, other: object) -> None:
        raise AssertionError("not for us")

    def forward(self, ir: torch.Tensor, vis: torch.Tensor) -> torch.Tensor:
        return self.scale * (ir + vis) / 2


def test_attributes_of_other_modules_are_their_own() -> None:
    fuser = Fuser(Stranger(), device="cpu", tile=64)
    fused = fuser(np.full((100, 100), 100, np.uint8), np.full((100, 100), 200, np.uint8))
    assert (fused == 150).all()
    assert fuser.backend.reach is None


def test_any_system_tells_its_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS and Windows: no /proc, no control groups, no address space limit; only psutil."""
    monkeypatch.setattr(memory, "_text", lambda path: "")
    monkeypatch.setattr(cgroups, "_text", lambda path: "")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=3 * 2**30))
    assert memory.available_bytes("cpu") == 3 * 2**30
    assert memory.available_bytes("mps") == 3 * 2**30


def test_a_photo_of_24_megapixels_is_tiled_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmmdl.fusion.fuser.available_bytes", lambda device: 2**20)
    notes: list[str] = []
    fuser = Fuser(CMMDLRT(), device="cpu", note=notes.append)
    fuser(np.zeros((200, 300), np.uint8), np.zeros((200, 300), np.uint8))
    assert any("tiles of 128 pixels" in note for note in notes)


def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, membership: str, files: dict[str, str]) -> None:
    """A tree of control groups, as the kernel shows it."""
    (tmp_path / "self").write_text(membership)
    for name, text in files.items():
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    monkeypatch.setattr(cgroups, "GROUPS", tmp_path / "sys")
    monkeypatch.setattr(cgroups, "MEMBERSHIP", tmp_path / "self")


@pytest.mark.parametrize(
    ("membership", "files", "left", "cores"),
    [
        (
            "0::/app/worker\n",
            {
                "app/memory.max": "5000", "app/memory.current": "3000",
                "app/memory.stat": "anon 2400\ninactive_file 600",
                "app/worker/memory.max": "max", "app/worker/memory.current": "10",
                "app/worker/cpu.max": "150000 100000", "cpu.max": "max 100000",
            },
            2600,
            2,
        ),
        ("0::/\n", {"memory.max": "9000", "memory.current": "1000", "cpu.max": "50000 100000"}, 8000, 1),
        (
            "12:cpu,cpuacct:/docker/x\n9:memory:/docker/x\n1:name=systemd:/docker/x\n",  # in a container: not there
            {
                "memory/memory.limit_in_bytes": "7000", "memory/memory.usage_in_bytes": "2000",
                "memory/memory.stat": "total_inactive_file 500",
                "cpu,cpuacct/cpu.cfs_quota_us": "300000", "cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            5500,
            3,
        ),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, None),
        ("0::/\n", {"cpu.max": "max 100000", "memory.max": "max"}, None, None),
        ("", {}, None, None),
    ],
)  # fmt: skip
def test_control_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, membership: str, files: dict[str, str], left: int, cores: int
) -> None:
    groups(tmp_path, monkeypatch, membership, files)
    assert cgroups.memory_left() == left
    assert cgroups.cores() == cores


def test_a_quota_limits_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(cgroups, "cores", lambda: 1)
    assert device.cpu_cores() == device.cpu_threads() == 1
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        TorchBackend(MeanFusion(), device="cpu")
        assert torch.get_num_threads() == 1
        TorchBackend(MeanFusion(), device="cpu", threads=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "words",
    [
        "cuFFT error: CUFFT_ALLOC_FAILED",
        "cuFFT error: CUFFT_INTERNAL_ERROR",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
        "CUDA out of memory. Tried to allocate 20.00 MiB",
        "MPS backend out of memory (MPS allocated: 1 GB)",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.",
        "[enforce fail at alloc_cpu.cpp:75] DefaultCPUAllocator: not enough memory",
        "std::bad_alloc",
    ],
)
def test_words_for_no_memory_lead_to_smaller_tiles(words: str) -> None:
    class Full(torch.nn.Module):
        """A network on a device that holds 70 by 70 pixels."""

        def forward(self, ir: torch.Tensor, vis: torch.Tensor) -> torch.Tensor:
            if ir.numel() > 150**2:
                raise RuntimeError(words)
            return (ir + vis) / 2

    notes: list[str] = []
    fused = Fuser(Full(), device="cpu", note=notes.append)(
        np.full((300, 300), 9, np.uint8), np.full((300, 300), 9, np.uint8)
    )
    assert (fused == 9).all()
    assert any("tiles" in note for note in notes)


def test_other_errors_are_not_taken_for_it() -> None:
    assert not memory.is_out_of_memory(RuntimeError("cuDNN error: CUDNN_STATUS_BAD_PARAM"))
    assert not memory.is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert memory.is_out_of_memory(MemoryError())
