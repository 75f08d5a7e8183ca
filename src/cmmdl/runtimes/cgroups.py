"""What the control groups of Linux leave to a container or service: memory and processor time, in either version."""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def memory_left() -> int | None:
    """Bytes that the tightest group around this process leaves; None without a limit."""
    left = [_memory_of(folder, *_MEMORY_2) for folder in _groups("")]
    left += [_memory_of(folder, *_MEMORY_1) for folder in _groups("memory")]
    return min((size for size in left if size is not None), default=None)


def cores() -> int | None:
    """Cores that the tightest group grants, rounded up; None without a limit."""
    shares = [_share(*_text(folder / "cpu.max").split()[:2]) for folder in _groups("")]
    for folder in _groups("cpu"):
        shares.append(_share(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")))
    return min((max(1, ceil(share)) for share in shares if share), default=None)


_MEMORY_2 = ("memory.max", "memory.current", "inactive_file")
_MEMORY_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _groups(controller: str) -> tuple[Path, ...]:
    """The folders of the groups around this process; controller ``""`` is version 2 of their interface."""
    return _folders(_text(MEMBERSHIP), GROUPS, controller)


@lru_cache
def _folders(membership: str, root: Path, controller: str) -> tuple[Path, ...]:
    """The same, from what the process's membership says: asked for every picture, worked out once."""
    folders: list[Path] = []
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            places = (controllers, controller) if controller else ("", "unified")
            for place in dict.fromkeys(places):
                folders += _upwards(root / place, path)
    return tuple(folders)


def _upwards(root: Path, path: str) -> list[Path]:
    """A folder below ``root`` and all above it, up to ``root``: in a container the path is that of the host."""
    folder = root / path.lstrip("/")
    return [f for f in (folder, *folder.parents) if f.is_relative_to(root)]


def _memory_of(folder: Path, limit: str, used: str, cache: str) -> int | None:
    """Limit less use of one group; file cache that can be dropped does not count as used."""
    most = _text(folder / limit).strip()
    now = _text(folder / used).strip() if most.isdigit() else ""
    if not now.isdigit():
        return None
    counts = dict(line.split() for line in _text(folder / "memory.stat").splitlines() if line.count(" ") == 1)
    return int(most) - int(now) + int(counts.get(cache, 0))


def _share(quota: str = "", period: str = "") -> float | None:
    """Quota over period, in cores; None for ``max``, -1 and what is not there."""
    quota, period = quota.strip(), period.strip()
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) and int(quota) else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
