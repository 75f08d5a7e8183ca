"""Fusing two clips into a third: from opened sources to a finished file, whatever happens in between."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import FrameType
from typing import TypeVar

from cmmdl.errors import UserError
from cmmdl.files.arrays import to_numpy
from cmmdl.files.images import Note
from cmmdl.files.video.clip import Clip, Frame
from cmmdl.files.video.sinks import Sink
from cmmdl.fusion.cliprange import SAMPLE, fixed_levels, fixed_range
from cmmdl.fusion.drift import Drift, laid
from cmmdl.fusion.fuser import Fuser
from cmmdl.fusion.live import LivePairing
from cmmdl.fusion.options import DEFAULTS, FuseOptions
from cmmdl.fusion.pipeline import ahead
from cmmdl.fusion.stream import fused_frames
from cmmdl.fusion.timing import FramePair, Pairing

T = TypeVar("T")


@dataclass(frozen=True)
class ClipOptions:
    """How two clips are fused.

    Attributes:
        pair: Of every pair of frames. Ranges that the frames decide are found once.
        offset: Seconds by which the infrared clip was started after the visible one.
        steady: Whether noise and flicker are averaged along the motion.
        duration: Seconds after which to stop; None goes on to the end.
    """

    pair: FuseOptions = DEFAULTS
    offset: float = 0.0
    steady: bool = False
    duration: float | None = None


@dataclass
class ClipReport:
    """What became of a run.

    Attributes:
        count: Frames that were written.
        seconds: Time it took.
        latencies: Of a live source, seconds from the arrival of each frame to its result, the last few thousand.
        stopped: The signal that ended it early, 0 if none did.
        last: Time of the last frame.
    """

    count: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    stopped: int = 0
    last: Fraction = Fraction(0)

    @property
    def latency(self) -> float:
        """Median of the latencies in seconds."""
        return sorted(self.latencies)[len(self.latencies) // 2] if self.latencies else 0.0


def fuse_clips(
    fuser: Fuser,
    ir: Clip,
    vis: Clip,
    sink: Sink,
    options: ClipOptions,
    *,
    note: Note,
    progress: Callable[[ClipReport], None] = lambda report: None,
) -> ClipReport:
    """Fuses two clips as long as both run.

    The first Ctrl-C, or SIGTERM, ends it after the frame at hand: what was written is made ready to play.

    Args:
        fuser: Does the work.
        ir: Infrared, closed at the end.
        vis: Visible, closed at the end.
        sink: Where frames go, in the order of their times.
        options: What is asked for.
        note: Called with a line about anything worth knowing.
        progress: Called after each frame.

    Raises:
        UserError: If a clip is damaged, times do not overlap, or frames cannot be written. The message says where what
            was fused before is kept.
    """
    live, begun, report = ir.facts.live or vis.facts.live, time.monotonic(), ClipReport()
    try:
        with closing(ir), closing(vis), _Stop() as stop:
            own, pair_options = _settled(fuser, ir, vis, options, note)
            pairing = _pairing(ir, vis, options.offset, live=live)
            pairs: Iterator[FramePair] = _until(pairing, options.duration)
            if pair_options.align:
                pairs, pair_options = laid(pairs, pair_options, note, live=live)
            drift = Drift(note) if pair_options.check else None
            frames = fused_frames(own, pairs, pair_options, steady=options.steady, live=live, drift=drift)
            with closing(_ahead(frames, live=live)) as results:
                while (frame := stop.next(results)) is not None:
                    sink.write(frame)
                    _count(report, frame, begun, live=live)
                    progress(report)
            report.stopped = stop.asked
            if report.stopped and isinstance(pairing, Pairing):
                pairing.interrupt("it was stopped", report.last)
            sink.finish(complete=pairing.whole and not stop.asked and options.duration is None)
            if report.count or not report.stopped:
                pairing.tell(note)
    except UserError as error:
        kept = sink.abandon()
        raise type(error)(f"{error}; {kept}" if kept else str(error)) from error
    except BaseException as error:
        if kept := sink.abandon():
            error.add_note(kept)
        raise
    report.seconds = time.monotonic() - begun
    return report


def _settled(fuser: Fuser, ir: Clip, vis: Clip, options: ClipOptions, note: Note) -> tuple[Fuser, FuseOptions]:
    """What depends on the frames, settled for the whole clip: both ranges, and the levels of a stretch."""
    ranges = {
        "ir_range": fixed_range(ir, options.pair.ir_range, "ir", note),
        "vis_range": fixed_range(vis, options.pair.vis_range, "vis", note),
    }
    pair = replace(options.pair, **ranges)  # type: ignore[arg-type]
    if not fuser.stretch:
        return fuser, pair
    (own,) = fuser.side_by_side(1)
    own.stretch = False
    lumas = []
    for one, two in zip(ir.sample(SAMPLE // 2), vis.sample(SAMPLE // 2), strict=False):
        lumas.append(to_numpy(own.fused_luma(own.lay(one, two, pair), pair)))
    levels = fixed_levels(lumas)
    if levels:
        note(f"stretched by the least and the greatest value of {len(lumas)} frames, for the whole clip alike")
    return own, replace(pair, levels=levels)


def _pairing(ir: Clip, vis: Clip, offset: float, *, live: bool) -> Pairing | LivePairing:
    """By the times in files, or by arrival; what is piped goes with either."""
    sides = ir.facts, vis.facts
    if not live:
        return Pairing(ahead(ir.frames()), ahead(vis.frames()), sides, offset)
    for clip, other in ((ir, vis), (vis, ir)):
        if not (clip.facts.live or clip.facts.piped):
            raise UserError(
                f"{other.facts.name} is live and {clip.facts.name} is a recording: nothing says which frames belong "
                "together; give two recordings or two live sources"
            )
    return LivePairing(ir.frames(), vis.frames(), sides, offset)


def _until(pairing: Pairing | LivePairing, duration: float | None) -> Iterator[FramePair]:
    """Pairs up to a time after the first."""
    first = last = None
    for pair in pairing:
        first = pair.vis.time if first is None else first
        if duration is not None and last is not None and pair.vis.time - first >= duration:
            if isinstance(pairing, Pairing):
                pairing.interrupt("--duration ended it", last)
            break
        last = pair.vis.time
        yield pair


def _ahead(frames: Iterator[Frame], *, live: bool) -> Generator[Frame, None, None]:
    """Recordings are fused while results are written; of a live source nothing waits."""
    return ahead(frames, 1 if live else 3)


def _count(report: ClipReport, frame: Frame, begun: float, *, live: bool) -> None:
    report.count, report.seconds, report.last = report.count + 1, time.monotonic() - begun, frame.time
    if live:
        report.latencies = [*report.latencies[-999:], time.monotonic() - frame.arrived]


class _Stop:
    """Lets SIGINT and SIGTERM end a loop between two frames, at once where it only waits.

    Attributes:
        asked: The signal that came, 0 if none did.
    """

    def __init__(self) -> None:
        self.asked, self.waits = 0, False
        self.before: dict[int, object] = {}

    def __enter__(self) -> _Stop:
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._come) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def next(self, items: Iterator[T]) -> T | None:
        """The next item; None at the end, or if a signal came."""
        try:
            with self._waiting():
                return None if self.asked else next(items, None)
        except _StoppedError:
            return None

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        self.waits = True
        try:
            yield
        finally:
            self.waits = False

    def _come(self, number: int, _: FrameType | None) -> None:
        self.asked = self.asked or number
        if self.waits:
            raise _StoppedError


class _StoppedError(BaseException):
    """A signal came while the loop waited."""
