"""One account of a run: which pairs were begun, what became of them, and how many workers there were.

Ray repeats what was lost. A worker asks here first, so a pair that has ended is not fused again, and what was begun
more than once is counted. The account lives beside the command that was given, so it is lost only with the run itself.
"""

from __future__ import annotations

from collections.abc import Sequence

MOST = 4
"""So often a pair is begun; if its worker died each time, it is given up."""


class Ledger:
    """Begun and ended pairs by their numbers, and workers by the number of their pool."""

    def __init__(self) -> None:
        self._joined: dict[int, int] = {}
        self._begun: dict[int, int] = {}
        self._ended: dict[int, str] = {}

    def join(self, pool: int) -> None:
        """Notes a worker of a pool. Fewer may come than were planned: Ray notices late that a node is lost."""
        self._joined[pool] = self._joined.get(pool, 0) + 1

    def workers(self) -> list[int]:
        """How many workers each pool really had, the first pool first; those that nobody joined are left out."""
        return [self._joined[pool] for pool in sorted(self._joined)]

    def begin(self, number: int) -> int:
        """Notes that a worker takes a pair; returns how often that has happened."""
        self._begun[number] = self._begun.get(number, 0) + 1
        return self._begun[number]

    def end(self, number: int, told: str) -> None:
        """Notes what became of a pair; the first word counts."""
        self._ended.setdefault(number, told)

    def known(self, numbers: Sequence[int]) -> list[tuple[int, str]]:
        """How often each of some pairs was begun, and what became of it, empty if that is open."""
        return [(self._begun.get(number, 0), self._ended.get(number, "")) for number in numbers]

    def ended(self) -> list[str]:
        """What became of all pairs that have ended."""
        return list(self._ended.values())

    def count(self) -> int:
        """How many pairs were begun, and how many have ended, in one number that grows while there is progress."""
        return len(self._begun) + len(self._ended)

    def repeated(self) -> int:
        """How often a pair was begun again."""
        return sum(self._begun.values()) - len(self._begun)
