"""Choosing a device and naming it: one meaning of ``auto`` for fusing, training and measuring."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from cmmdl.errors import UserError
from cmmdl.runtimes import cgroups

if TYPE_CHECKING:
    import torch

DRIVERS = (
    "/proc/driver/nvidia/version",  # NVIDIA on Linux
    "/dev/nvidiactl",  # the same in a container
    "/dev/dxg",  # WSL2
    "/dev/kfd",  # AMD (ROCm)
    "/dev/nvhost-gpu",  # Jetson
    "/dev/nvgpu",  # Jetson, from JetPack 6 on
)
"""What a system has where a GPU may be that torch can use."""


def find_device(device: str | torch.device = "auto") -> torch.device:
    """The torch device of a name; ``"auto"`` is that of :func:`automatic_device`.

    Raises:
        UserError: If there is no such device.
    """
    import torch

    if device == "auto":
        return automatic_device()
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"device {str(device)!r} is not there; `cmmdl doctor` lists those that are") from error
    return found


def automatic_device() -> torch.device:
    """The first GPU that torch finds: CUDA (or ROCm), Intel's XPU, Apple's MPS; the CPU without one."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        return torch.device("xpu")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def may_have_gpu() -> bool:
    """Whether there may be a GPU that torch can use: asked of the system, since torch takes a second to import."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    windows = Path(os.environ.get("SYSTEMROOT", "/"), "System32", "nvcuda.dll")
    return windows.exists() or any(Path(driver).exists() for driver in DRIVERS) or "xpu" in _torch_build()


def _torch_build() -> str:
    """What the installed torch is built for, such as ``cu128`` or ``xpu``, where its version says so."""
    try:
        return version("torch").partition("+")[2]
    except PackageNotFoundError:
        return ""


def describe_device(device: torch.device) -> str:
    """A torch device in words, for example ``cpu (AMD EPYC 7B13, 2 threads)``."""
    import torch

    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({cpu_name()}, {torch.get_num_threads()} threads)"
    return str(device)


def cpu_name() -> str:
    """The processor's name where the system tells it, else its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def cpu_threads() -> int:
    """How many threads to compute with on a CPU: what ``OMP_NUM_THREADS`` says, else the cores that are available."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return cpu_cores()


def cpu_cores() -> int:
    """How many cores this process may use: those it is bound to, and what the quota of a container grants."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(bound, cgroups.cores() or bound)
