"""The computer in words: what a figure has to come with."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cmmdl.runtimes.device import cpu_cores, cpu_name, may_have_gpu

PACKAGES = ("cmmdl", "torch", "onnxruntime", "openvino", "numpy")
"""Whose versions a figure depends on."""

INSTRUCTIONS = {
    "AVX2": "avx2",
    "AVX512": "avx512f",
    "AVX512-BF16": "avx512bf16",
    "AVX512-VNNI": "avx512vnni",
    "AMX-BF16": "amxbf16",
    "AMX-INT8": "amxint8",
    "NEON": "asimd",
    "ARM-BF16": "bf16",
    "SVE": "sve",
}
"""Name -> what the processor calls it, without underscores, which systems set differently."""


@dataclass(frozen=True)
class Machine:
    """What figures depend on besides the program.

    Attributes:
        processor: Its name.
        instructions: Those of `INSTRUCTIONS` that it has; empty where the system does not tell.
        cores: How many this process may use.
        memory_gib: Main memory; None where the system does not tell.
        system: Operating system.
        python: Version.
        versions: Package -> version, of those that are installed.
        gpus: Name and memory of each.
        load: Mean number of running programs in the last minute; None where the system does not tell.
    """

    processor: str
    instructions: tuple[str, ...]
    cores: int
    memory_gib: float | None
    system: str
    python: str
    versions: dict[str, str]
    gpus: tuple[str, ...]
    load: float | None

    def __str__(self) -> str:
        """In one paragraph."""
        sets = f" ({', '.join(self.instructions)})" if self.instructions else ""
        memory = f", {self.memory_gib:.0f} GiB" if self.memory_gib else ""
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        gpus = "".join(f"; {gpu}" for gpu in self.gpus)
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        return f"{self.processor}{sets}, {cores}{memory}{gpus}; {self.system}; Python {self.python}, {versions}"

    @property
    def busy(self) -> bool:
        """Whether other programs keep more than a quarter of the cores busy."""
        return self.load is not None and self.load > self.cores / 4


def machine() -> Machine:
    """This computer, now."""
    name, instructions = processor()
    return Machine(
        processor=name,
        instructions=instructions,
        cores=cpu_cores(),
        memory_gib=_memory_gib(),
        system=platform.platform(),
        python=platform.python_version(),
        versions={name: number for name in PACKAGES if (number := _version(name))},
        gpus=tuple(gpus()),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


@cache
def processor() -> tuple[str, tuple[str, ...]]:
    """The processor's name and which of `INSTRUCTIONS` it has, on any system; takes about a second."""
    import cpuinfo

    info: dict[str, Any] = cpuinfo.get_cpu_info() or {}
    flags = {str(flag).lower().replace("_", "") for flag in info.get("flags", ())}
    return info.get("brand_raw") or cpu_name(), tuple(name for name, flag in INSTRUCTIONS.items() if flag in flags)


def gpus() -> list[str]:
    """Every GPU of torch in words; torch is imported only if there may be one."""
    if not may_have_gpu():
        return []
    import torch

    built = f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda}"
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    named = [f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, {built}" for gpu in found]
    return named + (["Apple GPU (MPS)"] if torch.backends.mps.is_available() else [])


def _memory_gib() -> float | None:
    import psutil

    try:
        return int(psutil.virtual_memory().total) / 2**30
    except (OSError, RuntimeError):
        return None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
