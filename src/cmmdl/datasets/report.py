"""What checks found, as text for people and as plain data for programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from cmmdl.datasets.placement import Placement

SHOWN = 10
"""Items of one finding that the text shows; the data has all."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: One word or two: ``damaged``, ``unpaired``, ``duplicate``, ...
        where: The set or sets it concerns.
        text: One line.
        items: The pictures, one text each.
    """

    kind: str
    where: str
    text: str
    items: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetSummary:
    """One set of pairs.

    Attributes:
        name: Its folder's name.
        sides: Names of its two sides.
        pairs: Number of pairs that are sound.
        sizes: ``WIDTHxHEIGHT`` -> number of pairs.
    """

    name: str
    sides: tuple[str, str]
    pairs: int
    sizes: dict[str, int]


@dataclass
class Report:
    """Sets, how their pairs lie on each other, problems (something has to be put right) and notes (worth knowing)."""

    sets: list[SetSummary] = field(default_factory=list)
    alignment: list[Placement] = field(default_factory=list)
    problems: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data, ready for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The report for people."""
        rows = [("set", "pairs", "sides", "sizes")]
        rows += [(one.name, str(one.pairs), " + ".join(one.sides), _sizes(one.sizes)) for one in self.sets]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        table = [
            "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
        ]
        placed = [line for one in self.alignment for line in one.lines()]
        return [*table, *placed, *self.problem_lines(), *_listed("note", self.notes)]

    def problem_lines(self) -> list[str]:
        """The problems only."""
        return _listed("problem", self.problems)


def counted(number: int, noun: str) -> str:
    """``1 pair``, ``2 pairs``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _sizes(sizes: dict[str, int]) -> str:
    if len(sizes) <= 3:
        return ", ".join(sizes)
    common = sorted(sizes, key=lambda size: -sizes[size])
    return f"{', '.join(common[:2])} and {len(sizes) - 2} more"


def _listed(title: str, findings: Iterable[Finding]) -> list[str]:
    findings = list(findings)
    if not findings:
        return []
    lines = [f"{counted(len(findings), title)}:"]
    for finding in findings:
        lines.append(f"  {finding.kind}, {finding.where}: {finding.text}")
        lines += [f"    {item}" for item in finding.items[:SHOWN]]
        if len(finding.items) > SHOWN:
            lines.append(f"    and {len(finding.items) - SHOWN} more; --json has all")
    return lines
