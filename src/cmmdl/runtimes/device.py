"""Choosing a device and naming it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from cmmdl.errors import UserError

if TYPE_CHECKING:
    import torch


def find_device(device: str | torch.device = "auto") -> torch.device:
    """The torch device of a name; ``"auto"`` is the first GPU if there is one, else the CPU.

    Raises:
        UserError: If there is no such device.
    """
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"device {str(device)!r} is not available; `cmmdl doctor` lists those that are") from error
    return found


def has_nvidia_driver() -> bool:
    """Whether there may be a CUDA GPU: asked of the system, since torch takes a second to import."""
    windows = Path(os.environ.get("SYSTEMROOT", "/"), "System32", "nvcuda.dll")
    return Path("/proc/driver/nvidia/version").exists() or windows.exists()


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
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
