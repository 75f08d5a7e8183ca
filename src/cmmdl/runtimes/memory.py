"""How much memory is free and a picture needs, so that one that would not fit is tiled instead of killed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

BYTES_PER_PIXEL = 64 * 4 * 9
"""Peak memory of the network for each pixel on a CPU, where it works in bands: nine maps of 64 float32 channels."""

BYTES_PER_PIXEL_WHOLE = 64 * 4 * 20
"""The same where it does not, on a GPU; and what is assumed of modules and files that do not say."""

BYTES_PER_PIXEL_WITHOUT_WEIGHTS = 64 * 4
"""The same for a method without weights: some dozens of maps of one channel."""

_GROUPS = Path("/sys/fs/cgroup")


def available_bytes(device: torch.device | str) -> int | None:
    """Memory that can still be taken on a device, in bytes; ``None`` where that is unknown.

    On a CPU the smallest of: what the system has free, what the control group of a container or service leaves,
    and what ``ulimit -v`` leaves.
    """
    if str(device).startswith("cuda"):
        import torch

        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    known = [size for size in (_system(), _control_groups(), _address_space()) if size is not None]
    return max(min(known), 0) if known else None


def _system() -> int | None:
    """Free memory of the computer, file cache included where the system tells."""
    for line in _text(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _control_groups() -> int | None:
    """What the tightest control group around this process leaves, in version 2 or 1 of their interface."""
    left: list[int | None] = []
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            left += [_left(folder, *names) for folder in _upwards(_GROUPS / "memory", path)]
        elif controllers == "":
            names = ("memory.max", "memory.current", "inactive_file")
            left += [_left(folder, *names) for folder in _upwards(_GROUPS, path)]
    return min((size for size in left if size is not None), default=None)


def _upwards(root: Path, path: str) -> list[Path]:
    """A folder below ``root`` and all above it, up to ``root``."""
    folder = root / path.lstrip("/")
    return [f for f in (folder, *folder.parents) if f.is_relative_to(root)]


def _left(folder: Path, limit: str, used: str, cache: str) -> int | None:
    """Limit less use of one control group; file cache that can be dropped does not count as used."""
    most, now = _text(folder / limit).strip(), _text(folder / used).strip()
    if not (most.isdigit() and now.isdigit()):
        return None
    counts = dict(line.split() for line in _text(folder / "memory.stat").splitlines() if line.count(" ") == 1)
    return int(most) - int(now) + int(counts.get(cache, 0))


def _address_space() -> int | None:
    """What ``ulimit -v`` leaves of the address space."""
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
