"""Cameras and network streams: the newest frame first, with the infrared frame that came nearest to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

from cmmdl.errors import UserError
from cmmdl.files.images import Note
from cmmdl.files.video.clip import Facts, Frame
from cmmdl.fusion.pipeline import Newest
from cmmdl.fusion.timing import FramePair

REMEMBERED = 30
"""Infrared frames among which the nearest is looked for."""

TICK = Fraction(1, 90000)
"""The unit of the times of arrival, as fine as that of MPEG streams."""


def on_arrival(ir: Facts, vis: Facts) -> Facts:
    """The facts of the visible side for a result: frames of live sources have the times of their arrival."""
    return replace(vis, time_base=TICK) if ir.live or vis.live else vis


class LivePairing:
    """Pairs frames by the moment at which they arrived, since clocks of cameras have nothing in common.

    A visible frame that is not fetched before the next one comes is dropped. The time of a result is the time since the
    first one.

    Args:
        ir: Infrared frames as they come.
        vis: Visible frames as they come.
        sides: What is known of both.
        offset: Seconds by which the infrared side is later than the visible one.

    Attributes:
        count: Pairs so far.
        whole: Whether the end of the visible side was reached.
    """

    def __init__(
        self, ir: Iterable[Frame], vis: Iterable[Frame], sides: tuple[Facts, Facts], offset: float = 0.0
    ) -> None:
        self.ir, self.vis = Newest(ir, REMEMBERED), Newest(vis)
        self.sides, self.offset = sides, offset
        self.count, self.whole = 0, False
        self.begun = 0.0

    def __iter__(self) -> Iterator[FramePair]:
        """Pairs as they come, until one side ends.

        Raises:
            UserError: If one side never sends a frame.
        """
        since = Fraction(-1, 1000)
        try:
            while (frame := self.vis.next()) is not None:
                moment = frame.arrived - self.offset
                near = self.ir.nearest(lambda other, moment=moment: abs(other.arrived - moment))  # type: ignore[misc]
                if near is None or (self.ir.ended and self.count and frame.arrived - near.arrived > 1):
                    break
                self.begun = self.begun if self.count else frame.arrived
                self.count += 1
                since = max(Fraction(round((frame.arrived - self.begun) * 1000), 1000), since + Fraction(1, 1000))
                yield FramePair(near, Frame(since, frame.pixels, frame.arrived))
            else:
                self.whole = True
        finally:
            self.ir.close()
            self.vis.close()
        if not self.count:
            raise UserError(f"{self.sides[0].name} or {self.sides[1].name} sent no frame; check that both run")

    def tell(self, note: Note) -> None:
        """Says how many frames were dropped."""
        if self.vis.dropped:
            note(
                f"{self.vis.dropped} of {self.vis.made} frames of {self.sides[1].name} came faster than they were fused"
            )
