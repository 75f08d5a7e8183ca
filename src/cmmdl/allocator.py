"""Memory that is taken once and kept: half the time of a network on a CPU can be page faults.

A forward pass makes and frees the same large maps over and over. By default the C library takes each of them from
the system and gives it back at once, so that every page is cleared and mapped anew each time. Told to keep what
was freed, it spends that time computing.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Numbers of the settings in glibc's ``malloc.h``."""


def reuse_memory() -> bool:
    """Makes the C library keep freed memory for reuse. It holds for the whole process; `Fuser` does it on a CPU.

    Large blocks come from the heap (``M_MMAP_MAX`` = 0), whose end is grown in steps of 64 MiB and never given back.
    The price is that the process keeps its peak of memory until it ends. Transparent huge pages on top made no
    difference to the time and, by their alignment, cost half as much memory again.

    Returns:
        Whether it was done; ``False`` where the C library is not glibc.
    """
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    settings = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1, _TOP_PAD: 64 * 2**20}
    return all([library.mallopt(name, value) == 1 for name, value in settings.items()])
