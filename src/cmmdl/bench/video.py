"""How fast clips are fused on this computer: each part alone, and all at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from cmmdl.files.video.clip import Frame
from cmmdl.files.video.codecs import Encoding
from cmmdl.files.video.encoding import VideoWriter
from cmmdl.files.video.opening import RawInput, open_clip, open_pair
from cmmdl.fusion.clip import ClipOptions, fuse_clips
from cmmdl.fusion.fuser import Fuser
from cmmdl.fusion.options import FuseOptions
from cmmdl.fusion.stream import fused_frames
from cmmdl.fusion.timing import FramePair
from cmmdl.runtimes.device import cpu_cores

RATE = 25
"""Frames a second of the drawn clips."""

BITS_8 = FuseOptions(ir_range="type", vis_range="type")


@dataclass(frozen=True)
class Part:
    """What a frame takes, in milliseconds.

    Attributes:
        name: ``read``, ``fuse``, ``write`` or ``all``.
        wall: By the clock.
        cpu: Of all threads of this process together.
    """

    name: str
    wall: float
    cpu: float


@dataclass(frozen=True)
class VideoTimes:
    """The parts, each alone, and the whole.

    Attributes:
        parts: Reading, fusing and writing.
        whole: All of them at once.
        cores: That this process may use.
    """

    parts: tuple[Part, ...]
    whole: Part
    cores: int

    @property
    def bound(self) -> float:
        """What no order of the work can undercut: the slowest part, or the work of all divided by the cores."""
        return max(max(part.wall for part in self.parts), sum(part.cpu for part in self.parts) / self.cores)

    @property
    def ratio(self) -> float:
        """How far the whole is above the bound."""
        return self.whole.wall / self.bound


def draw_clips(folder: Path, width: int, height: int, frames: int) -> tuple[Path, Path]:
    """A drawn infrared and a drawn visible clip, as H.264 files."""
    from cmmdl.files.video.clip import Facts
    from cmmdl.scenes import moving_pairs

    paths = folder / "ir.mp4", folder / "vis.mp4"
    facts = Facts("drawn", height, width, rate=Fraction(RATE), time_base=Fraction(1, 12800))
    writers = [VideoWriter(path, Encoding(), facts, sound=None, note=lambda text: None) for path in paths]
    for number, pair in enumerate(moving_pairs(height, width, (k / RATE for k in range(frames)))):
        for writer, pixels in zip(writers, pair, strict=True):
            writer.write(Frame(Fraction(number, RATE), pixels))
    for writer in writers:
        writer.finish()
    return paths


def measure_video(fuser: Fuser, ir: Path, vis: Path, out: Path, *, steady: bool = False) -> VideoTimes:
    """Reads, fuses and writes the frames of two clips, part by part and then all at once.

    Args:
        fuser: Does the work; it is warmed up first.
        ir: An infrared clip.
        vis: A visible clip, of as many frames.
        out: Video file that is written, twice.
        steady: Whether fusing includes ``--steady``.
    """
    sides = _frames(ir, colour=False), _frames(vis, colour=True)
    next(_fused(fuser, _pairs(*sides, 1), steady=steady))
    read = _timed("read", lambda: _pairs(_frames(ir, colour=False), _frames(vis, colour=True)))
    pairs = list(_pairs(*sides))
    results = list[Frame]()
    fuse = _timed("fuse", lambda: _kept(_fused(fuser, pairs, steady=steady), results))
    write = _timed("write", lambda: _written(results, out, vis))
    sides, pairs, results = ([], []), [], []  # a few hundred frames
    begun, cpu = time.perf_counter(), time.process_time()
    one, two = open_pair(str(ir), str(vis), RawInput(), note=_silent)
    sink = VideoWriter(out, Encoding(), two.facts, sound=None, note=_silent)
    report = fuse_clips(fuser, one, two, sink, ClipOptions(BITS_8, steady=steady), note=_silent)
    whole = _part("all", begun, cpu, report.count)
    return VideoTimes((read, fuse, write), whole, cpu_cores())


def table(times: VideoTimes) -> str:
    """The times in words."""
    head = f"{'part':<6}  {'ms a frame':>10}  {'CPU ms':>8}  {'frames/s':>8}"
    rows = [f"{p.name:<6}  {p.wall:>10.1f}  {p.cpu:>8.1f}  {1e3 / p.wall:>8.1f}" for p in (*times.parts, times.whole)]
    told = (
        f"all at once takes {times.ratio:.2f} times the larger of the slowest part alone and the CPU time of all parts "
        f"divided by {times.cores} cores ({times.bound:.1f} ms)"
    )
    return "\n".join([head, *rows, told])


def _frames(path: Path, *, colour: bool) -> list[Frame]:
    clip = open_clip(str(path), colour=colour, note=_silent)
    try:
        return list(clip.frames())
    finally:
        clip.close()


def _pairs(ir: list[Frame], vis: list[Frame], count: int | None = None) -> Iterator[FramePair]:
    return (FramePair(one, two) for one, two in zip(ir[:count], vis[:count], strict=False))


def _fused(fuser: Fuser, pairs: Iterable[FramePair], *, steady: bool) -> Iterator[Frame]:
    return fused_frames(fuser, pairs, BITS_8, steady=steady)


def _kept(frames: Iterable[Frame], into: list[Frame]) -> Iterator[Frame]:
    for frame in frames:
        into.append(frame)
        yield frame


def _written(frames: list[Frame], out: Path, like: Path) -> Iterator[Frame]:
    clip = open_clip(str(like), note=_silent)
    clip.close()
    sink = VideoWriter(out, Encoding(), clip.facts, sound=None, note=_silent)
    for frame in frames:
        sink.write(frame)
        yield frame
    sink.finish()


def _timed(name: str, work: Callable[[], Iterable[object]]) -> Part:
    """The time of some work, by the number of things it gives."""
    begun, cpu = time.perf_counter(), time.process_time()
    count = sum(1 for _ in work())
    return _part(name, begun, cpu, count)


def _part(name: str, begun: float, cpu: float, count: int) -> Part:
    return Part(name, (time.perf_counter() - begun) * 1e3 / count, (time.process_time() - cpu) * 1e3 / count)


def _silent(text: str) -> None:
    """Says nothing."""
