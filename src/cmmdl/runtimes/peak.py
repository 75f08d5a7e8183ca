"""The most memory that this process ever held."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_bytes() -> int | None:
    """The most main memory this process held since it was started, in bytes; None where the system does not tell.

    On Linux it is that of this program alone (``VmHWM``): what ``getrusage`` tells there is at least the memory of the
    process that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
