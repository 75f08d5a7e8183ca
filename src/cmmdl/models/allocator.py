"""Memory that is taken once and kept: half the time of a network on a CPU can be page faults.

A forward pass makes and frees the same large maps over and over. By default the C library takes each of them from
the system and gives it back at once, so that every page is cleared and mapped anew each time. Told to keep what
was freed, it spends that time computing.

What the C library keeps is fragmented: a hole that a map leaves is often some bytes too small for the next one. So
whole feature maps have a store of their own (`room`), where a place that fits one map fits the next.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import threading
import weakref
from contextlib import suppress
from math import prod

import torch
from torch import Tensor

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
"""Numbers of the settings in glibc's ``malloc.h``."""

_HUGE_PAGE = 2 * 2**20
"""Bytes of the larger pages of x86-64 and of most other systems."""

_HEAP = 256 * 2**20
"""Bytes of the heap that are to lie in such pages: what the bands of several threads take for a while."""

_GRAIN = _HUGE_PAGE
"""Places are a multiple of this: a map and its spectrum, which is a little larger, then fit into the same ones."""

_SMALLEST = 8 * 2**20
"""Bytes below which a map is left to the C library."""

_kept: list[mmap.mmap] | None = None
"""Places that are free, or ``None`` where freed memory is not kept."""

_taking = threading.Lock()
"""Held while a place is chosen. Places come back without it, in whatever thread the last tensor goes: one append."""


def reuse_memory() -> bool:
    """Makes the C library keep freed memory for reuse, and `room` likewise.

    It holds for the whole process; `Fuser` does it on a CPU. Large blocks come from the heap (``M_MMAP_MAX`` = 0),
    whose end is grown in steps of 16 MiB and never given back. All threads share one heap, so that one uses what
    another has freed, and it lies in huge pages where the system gives them on request: with small ones the processor
    looks up addresses where it could compute. The price is that the process keeps its peak of memory until it ends.

    Returns:
        Whether it was done; ``False`` where the C library is not glibc.
    """
    global _kept
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    first = _kept is None
    if first:
        _kept = []
    settings = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1, _TOP_PAD: 16 * 2**20, _ARENA_MAX: 1}
    done = all([library.mallopt(name, value) == 1 for name, value in settings.items()])
    if done and first:
        _grow_in_huge_pages(library)
    return done


def _grow_in_huge_pages(library: ctypes.CDLL) -> None:
    """Grows the heap by a block that is freed at once: the pages are taken when they are first written to."""
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.restype, library.free.argtypes = None, [ctypes.c_void_p]
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    block = library.malloc(_HEAP)
    if block:
        start, stop = -(-block // _HUGE_PAGE) * _HUGE_PAGE, (block + _HEAP) // _HUGE_PAGE * _HUGE_PAGE
        library.madvise(start, stop - start, mmap.MADV_HUGEPAGE)
        library.free(block)


def room(size: tuple[int, ...], dtype: torch.dtype, memory_format: torch.memory_format) -> Tensor:
    """An empty map on the CPU, in a kept place where memory is kept and one is free.

    Args:
        size: ``(B, C, H, W)``.
        dtype: Its type.
        memory_format: Channels-last or contiguous.
    """
    needed = prod(size) * dtype.itemsize
    if _kept is None or needed < _SMALLEST:
        return torch.empty(size, dtype=dtype, memory_format=memory_format)
    place = _take(_kept, needed)
    memory = (ctypes.c_char * needed).from_buffer(place)
    weakref.finalize(memory, _kept.append, place).atexit = False  # when the last tensor that lies in it is gone
    flat = torch.frombuffer(memory, dtype=dtype)
    if memory_format == torch.contiguous_format:
        return flat.view(size)
    batch, channels, height, width = size
    return flat.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _take(kept: list[mmap.mmap], needed: int) -> mmap.mmap:
    """A free place that fits and is not far too large, or a new one in exchange for those that are too small."""
    with _taking:
        fitting = [place for place in kept if needed <= len(place) <= 4 * needed]
        if fitting:
            best = min(fitting, key=len)
            kept.remove(best)
            return best
        for place in [place for place in kept if len(place) < needed]:
            kept.remove(place)
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # or forked processes would compute in the same pages
    place = mmap.mmap(-1, -(-needed // _GRAIN) * _GRAIN, flags=private)
    with suppress(OSError):  # where the kernel has no huge pages
        place.madvise(mmap.MADV_HUGEPAGE)
    return place


def _after_fork() -> None:
    """In a forked child: its one thread must not wait for another of the parent that was choosing a place."""
    global _taking
    _taking = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
