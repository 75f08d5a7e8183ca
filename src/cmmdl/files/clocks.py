"""Names that carry a clock and a running number, as drones write them.

The two clocks of a shot may be a second apart:
``DJI_20240101120003_0003_T`` and ``DJI_20240101120004_0003_V`` are one shot.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

APART = timedelta(seconds=5)
"""By so much the clocks of one shot may differ; running numbers begin again with each flight, clocks do not."""

_NAME = re.compile(r"(.*?)(?<!\d)(\d{8})([_-]?)(\d{6})([_-])(\d{3,})")

Shot = tuple[str, str, str, str]


def pair_by_clock(first: Iterable[str], second: Iterable[str]) -> dict[str, str]:
    """Pairs keys of one running number whose clocks are nearly the same.

    Args:
        first: Keys of one side that have no equal on the other.
        second: Those of the other side.

    Returns:
        Key of the first side -> key of the second. Where more than one partner is near enough, none is taken.
    """
    others: dict[Shot, list[tuple[datetime, str]]] = defaultdict(list)
    mine: dict[Shot, list[tuple[datetime, str]]] = defaultdict(list)
    for keys, shots in ((first, mine), (second, others)):
        for key in keys:
            if parts := _parts(key):
                shots[parts[0]].append((parts[1], key))
    pairs: dict[str, str] = {}
    for shot in mine.keys() & others.keys():
        for clock, key in mine[shot]:
            near = [twin for time, twin in others[shot] if abs(time - clock) <= APART]
            rivals = [rival for time, rival in mine[shot] if abs(time - clock) <= 2 * APART and rival != key]
            if len(near) == 1 and not rivals:
                pairs[key] = near[0]
    return pairs


def _parts(key: str) -> tuple[Shot, datetime] | None:
    """What both files of a shot share, and the clock; None for names of another kind."""
    if not (found := _NAME.fullmatch(key)):
        return None
    before, day, joint, time, separator, number = found.groups()
    try:
        return (before, joint, separator, number), datetime.strptime(day + time, "%Y%m%d%H%M%S")
    except ValueError:
        return None
