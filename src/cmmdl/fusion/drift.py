"""A rig in a clip: laid on each other once, held, and watched."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice

from cmmdl.align import register
from cmmdl.align.check import look
from cmmdl.align.rig import median
from cmmdl.errors import UserError
from cmmdl.files.images import Note
from cmmdl.files.notes import ResultNote, UndoneNote
from cmmdl.fusion.laid import Laid
from cmmdl.fusion.lay_pictures import array_of
from cmmdl.fusion.options import FuseOptions
from cmmdl.fusion.timing import FramePair

PAIRS = 50
"""Pairs at the start among which `TRIED` are measured, evenly spaced."""

TRIED = 5
PATIENCE = 2.0
"""Seconds for which pictures must lie apart before it is told."""

EVERY = 0.5
"""Seconds between two looks."""

_BYTES = 256_000_000
"""Of the pairs that are held meanwhile, at most."""


def laid(
    pairs: Iterator[FramePair], options: FuseOptions, note: Note, *, live: bool
) -> tuple[Iterator[FramePair], FuseOptions]:
    """``--align`` of a clip: one transform, from the first pairs, for all of them.

    Args:
        pairs: Of the clip; those that are looked at are given again, except of live sources.
        options: With ``align``.
        note: Told what was found.
        live: Whether the sources are live.

    Returns:
        The pairs, and options with the transform in place of ``align``. Where no pair is sure, without either.
    """
    first = _held(pairs)
    chosen = [first[index * len(first) // min(TRIED, len(first))] for index in range(min(TRIED, len(first)))]
    warp = None if options.align == "auto" else options.align
    found = [register(pair.ir.pixels, pair.vis.pixels, warp) for pair in chosen]
    rest = pairs if live else chain(first, pairs)
    try:
        transform = median(found, warp)
    except UserError:
        told = "they are fused as they are; give --transform"
        note(UndoneNote(f"none of {len(found)} pairs of the first frames could be laid on each other surely: {told}"))
        return rest, replace(options, align=None)
    x, y = transform.shift
    sure = sum(one.ok for one in found)
    note(
        f"laid on the visible clip ({transform.warp}, from {sure} of {len(found)} pairs), moved by up to "
        f"{transform.largest_shift:.1f} px ({x:+.1f}, {y:+.1f} in the middle); held for the whole clip"
    )
    return rest, replace(options, align=None, transform=transform)


class Drift:
    """Looks twice a second whether the pictures of a clip lie on each other, and says once if they do not for long.

    Args:
        note: Told.
    """

    def __init__(self, note: Note) -> None:
        self.note, self.lock = note, threading.Lock()
        self.last = -EVERY
        self.since: float | None = None
        self.told = False

    def see(self, moment: float, placed: Laid) -> None:
        """Looks at a pair, if it is time to.

        Args:
            moment: Of the pair, in seconds.
            placed: The pair as it is fused.
        """
        with self.lock:
            if self.told or moment < self.last + EVERY:
                return
            self.last = moment
        found = look(array_of(placed.ir), array_of(placed.vis))
        with self.lock:
            self._judge(moment, found.verdict, found.shift, found.largest)

    def _judge(self, moment: float, verdict: str, shift: tuple[float, float], largest: float) -> None:
        """Tells what has lasted; a look that is not sure says nothing either way."""
        if verdict == "aligned":
            self.since = None
        if verdict != "shifted":
            return
        self.since = moment if self.since is None else self.since
        if moment - self.since >= PATIENCE and not self.told:
            self.told = True
            self.note(
                ResultNote(
                    f"from {self.since:.1f} s on the infrared frames lie off the visible ones, by up to "
                    f"{largest:.0f} px ({shift[0]:+.0f}, {shift[1]:+.0f} in the middle); --align lays them, --no-check "
                    "ends this check"
                )
            )


def _held(pairs: Iterator[FramePair]) -> Sequence[FramePair]:
    """The first pairs, as many as may be held."""
    first = next(pairs, None)
    if first is None:
        return []
    size = first.ir.pixels.nbytes + first.vis.pixels.nbytes
    return [first, *islice(pairs, max(TRIED, min(PAIRS, _BYTES // size)) - 1)]
