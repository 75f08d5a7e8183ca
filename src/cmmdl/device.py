"""Choosing a device and naming it."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from cmmdl.errors import UserError


def find_device(device: str | torch.device = "auto") -> torch.device:
    """The device of a name; ``"auto"`` is the first GPU if there is one, else the CPU.

    Raises:
        UserError: If there is no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"device {str(device)!r} is not there; `cmmdl doctor` lists those that are") from error
    return found


def describe_device(device: torch.device) -> str:
    """A device in words, for example ``cpu (AMD EPYC 7B13, 2 threads)``."""
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
