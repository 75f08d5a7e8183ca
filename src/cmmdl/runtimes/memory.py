"""How much memory is free and a picture needs, so that one that would not fit is tiled instead of killed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cmmdl.runtimes.cgroups import memory_left

if TYPE_CHECKING:
    import torch

FLOAT = 4
SINGLES = 25
"""Maps of one channel that a network has beside its own: sources, result, windows, what the allocator rounds up."""


def bytes_in_bands(width: int) -> float:
    """Peak memory of the full network for each pixel on a CPU, where it works in bands: nine maps of its width.

    Measured with widths of 8, 16, 32 and 64 on 480x640 to 240x320 pixels: 367, 567, 1011 and 2255 bytes.
    """
    return FLOAT * (9 * width + SINGLES)


def bytes_as_a_whole(width: int) -> float:
    """The same where it does not work in bands, on a GPU.

    Measured with a width of 64 on an H100: 5602 bytes on 640x480 pixels, whose transforms need room to work in, and
    5065 on 1280x1024, both with a border of eight pixels.
    """
    return FLOAT * (24 * width + SINGLES)


BYTES_PER_PIXEL = bytes_in_bands(64)
BYTES_PER_PIXEL_WHOLE = bytes_as_a_whole(64)
"""What is assumed of modules and files that do not say."""

BYTES_PER_PIXEL_WITHOUT_WEIGHTS = 64 * FLOAT
"""The same for a method without weights: some dozens of maps of one channel."""

WORDS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "ALLOC_FAILED",  # cuFFT, cuBLAS, cuDNN, hipFFT
    "CUFFT_INTERNAL_ERROR",  # what cuFFT says when its plan finds no room
    "CUBLAS_STATUS_NOT_INITIALIZED",  # what cuBLAS says when its workspace finds none
    "CUDNN_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "rocblas_status_memory_error",
    "miopenStatusAllocFailed",
)
"""What libraries write where memory is short: torch on CPUs and GPUs, NVIDIA's, AMD's."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory was short; torch raises plain ``RuntimeError`` for it."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in WORDS)


def available_bytes(device: torch.device | str) -> int | None:
    """Memory that can still be taken on a device, in bytes; ``None`` where that is unknown.

    On a CPU, and on Apple's GPU, which shares its memory, the smallest of: what the system has free, what the control
    group of a container or service leaves, and what ``ulimit -v`` leaves.
    """
    if str(device).startswith(("cuda", "xpu")):
        return _on_gpu(str(device))
    known = [size for size in (_system(), memory_left(), _address_space()) if size is not None]
    return max(min(known), 0) if known else None


def _on_gpu(device: str) -> int | None:
    """What the driver has free, and what torch keeps of it without using it."""
    import torch

    module = torch.cuda if device.startswith("cuda") else torch.xpu
    try:
        kept = module.memory_reserved(device) - module.memory_allocated(device)
        return int(module.mem_get_info(device)[0]) + kept
    except RuntimeError:  # a driver that does not tell
        return None


def _system() -> int | None:
    """Memory that programs can take without swapping, as the system tells: Linux, macOS and Windows."""
    import psutil

    try:
        return int(psutil.virtual_memory().available)
    except (OSError, RuntimeError):
        return None


def _address_space() -> int | None:
    """What ``ulimit -v`` leaves of the address space, on Linux."""
    pages = _text(Path("/proc/self/statm")).split()
    if not pages:
        return None
    import resource  # not on Windows

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit - int(pages[0]) * resource.getpagesize()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
