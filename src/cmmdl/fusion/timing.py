"""Which infrared frame goes with which visible frame: by the times at which they were taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from cmmdl.errors import UserError
from cmmdl.files.images import Note
from cmmdl.files.video.clip import DEFAULT_RATE, Facts, Frame


@dataclass(frozen=True)
class FramePair:
    """An infrared and a visible frame; the result has the time of the visible one."""

    ir: Frame
    vis: Frame


class Pairing:
    """Pairs every visible frame with the infrared frame nearest in time, as long as both clips run.

    Args:
        ir: Infrared frames in the order of their times.
        vis: Visible frames in the order of theirs.
        sides: What is known of both clips.
        offset: Seconds by which the infrared clip was started after the visible one.

    Attributes:
        count: Pairs so far.
        whole: Whether the visible clip was used to its end.
        spare: Whether infrared frames were left out, before the first pair or after the last.
        far: Pairs whose frames lie further apart than frames of the slower clip do.
        farthest: The largest distance in seconds.
    """

    def __init__(
        self, ir: Iterable[Frame], vis: Iterable[Frame], sides: tuple[Facts, Facts], offset: float = 0.0
    ) -> None:
        self.ir, self.vis, self.sides = iter(ir), iter(vis), sides
        self.offset = Fraction(offset).limit_denominator(1_000_000)
        intervals = [1 / (side.rate or DEFAULT_RATE) for side in sides]
        self.interval, self.longest = intervals[0], max(intervals)
        self.reach = max(intervals) / 2 + Fraction(1, 1000)
        self.count, self.whole, self.far, self.farthest = 0, False, 0, 0.0
        self.first = self.last = Fraction(0)
        self.spare, self.used, self.why = False, (Fraction(0), Fraction(0)), ""

    def __iter__(self) -> Iterator[FramePair]:
        """The pairs; visible frames before the first and after the last infrared one are left out.

        Raises:
            UserError: If no times overlap.
        """
        begins = near = next(self.ir, None)
        following, seen = next(self.ir, None), None
        for frame in self.vis:
            seen = frame.time
            while near and following and self._gap(following, frame) < self._gap(near, frame):
                near, following = following, next(self.ir, None)
            if near is None or self._outside(near, frame, first=near is begins, last=following is None):
                if self.count:
                    break
                continue
            self.spare |= not self.count and begins is not None and self._long(begins, self.sides[1].begins) < 0
            yield self._paired(near, frame)
        else:
            self.whole = True
            self.spare |= following is not None and seen is not None and self._long(following, seen) > 0
        if not self.count:
            raise UserError(self._apart(near, seen))

    def _paired(self, ir: Frame, vis: Frame) -> FramePair:
        """Counts a pair."""
        gap = self._gap(ir, vis)
        self.far += gap > 2 * self.reach
        self.farthest = max(self.farthest, float(gap))
        self.first = self.first if self.count else vis.time
        self.used = (self.used[0] if self.count else ir.time, ir.time)
        self.last, self.count = vis.time, self.count + 1
        return FramePair(ir, vis)

    def interrupt(self, why: str, last: Fraction) -> None:
        """Ends it before its end.

        Args:
            why: What did, as a sentence of a note.
            last: The visible frame that was the last to be used.
        """
        self.why, self.last = why, last

    def _gap(self, ir: Frame, vis: Frame) -> Fraction:
        return abs(ir.time + self.offset - vis.time)

    def _long(self, ir: Frame, moment: Fraction) -> int:
        """Whether an infrared frame is further from a moment than any frame lasts: -1 before it, 1 after it, else 0."""
        later = ir.time + self.offset - moment
        return 0 if abs(later) < self.longest - Fraction(1, 1000) else 1 if later > 0 else -1

    def _outside(self, near: Frame, vis: Frame, *, first: bool, last: bool) -> bool:
        """Whether a visible frame lies before the first infrared frame or after the end of the last; not in a hole."""
        later = vis.time - near.time - self.offset
        lasts = max(self.reach, self.interval - Fraction(1, 1000))
        return (first and later < -self.reach) or (last and later >= lasts)

    def _apart(self, ir: Frame | None, vis: Fraction | None) -> str:
        one, two = self.sides
        begins = float((ir.time if ir else one.begins) + self.offset)
        ends = "" if one.seconds is None else f" to {one.seconds + float(self.offset):.2f}"
        return (
            f"{one.name} and {two.name} do not overlap in time: on the clock of the visible clip the infrared one runs "
            f"from {begins:.2f}{ends} s, the visible one from {float(two.begins):.2f} to {float(vis or 0):.2f} s; "
            "check --offset"
        )

    def tell(self, note: Note, done: str = "fused") -> None:
        """Says what was left out and why, and what lies far apart.

        Args:
            note: Called with each line.
            done: What was done with the pairs.
        """
        one, two = self.sides
        late = self.first > two.begins
        if self.count and (self.why or late or self.spare or not self.whole):
            used = f"{done} {_span(self.first, self.last, two)} of the visible clip"
            if self.why:
                note(f"{used}: {'the infrared one begins there, and ' if late else ''}{self.why}")
            else:
                also = f" and {_span(*self.used, one)} of the infrared one" if self.spare else ""
                note(f"{used}{also}, where both run")
        if self.far:
            note(
                f"{self.far} of {self.count} frames have no infrared frame near in time (up to {self.farthest:.2f} s "
                f"away): {one.name} has holes; what moves is doubled there"
            )


def _span(first: Fraction, last: Fraction, facts: Facts) -> str:
    """From one frame to another, and the length of the clip if it is known."""
    return f"{float(first):.2f} to {float(last):.2f}{f' of {facts.seconds:.2f}' if facts.seconds else ''} s"
