"""How the pairs of a set lie on each other: a quick look at each, counts, and the worst."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cmmdl.align.check import Look

WORST = 10
"""Pairs that are named."""
DOUBTS = ("foreign", "mirrored", "shifted")


@dataclass(frozen=True)
class Placement:
    """What quick looks say of one set.

    Attributes:
        name: Of the set.
        verdicts: ``aligned``, ``shifted``, ``mirrored``, ``foreign``, ``unsure`` -> number of pairs.
        shifts: ``median``, ``90 %``, ``largest`` -> pixels of the visible picture, over aligned and shifted pairs.
        worst: Up to :data:`WORST` pairs that do not match, one line each, the worst first.
    """

    name: str
    verdicts: dict[str, int] = field(default_factory=dict)
    shifts: dict[str, float] = field(default_factory=dict)
    worst: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The findings for people."""
        counts = ", ".join(f"{number} {verdict}" for verdict, number in self.verdicts.items())
        sizes = ", ".join(f"{name} {value:.1f} px" for name, value in self.shifts.items())
        head = f"alignment, {self.name}: {counts}" + (f"; shifts: {sizes}" if sizes else "")
        return [head, *(f"  {line}" for line in self.worst)]


def placement(name: str, looks: Mapping[str, Look]) -> Placement:
    """Counts looks at the pairs of a set.

    Args:
        name: Of the set.
        looks: Stem of a pair -> what a look said.
    """
    found = Counter(one.verdict for one in looks.values())
    order = ("aligned", "shifted", "mirrored", "foreign", "unsure")
    measured = np.array([one.largest for one in looks.values() if one.verdict in ("aligned", "shifted")])
    shifts = {}
    if measured.size:
        middle, most, largest = np.percentile(measured, [50, 90, 100])
        shifts = {"median": float(middle), "90 %": float(most), "largest": float(largest)}
    bad = [(stem, one) for stem, one in looks.items() if one.verdict in DOUBTS]
    bad.sort(key=lambda entry: (DOUBTS.index(entry[1].verdict), -entry[1].largest, entry[0]))
    worst = tuple(f"{stem}: {one}" for stem, one in bad[:WORST])
    return Placement(name, {verdict: found[verdict] for verdict in order if found[verdict]}, shifts, worst)
