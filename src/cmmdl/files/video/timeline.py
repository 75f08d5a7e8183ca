"""Where the clock of a file begins: what is late, and what is only stored in another order than shown."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

LEAD_INS = {"aac": (1024, 2048, 2112), "mp3": (1105,), "opus": (312,)}
"""Samples that encoders put before the sound proper; muxers that cannot go below 0 move the pictures by as much."""

ROUNDED = Fraction(6, 10_000)
"""How far a time may be off in a container that keeps milliseconds."""

TIMELINES = ("mp4", "matroska", "webm")
"""Formats that count from the start of the recording; others, such as MPEG transport streams, from anywhere."""

Times = tuple[int | None, int | None]


def counts_packets(container: Any) -> bool:
    """Whether frames have no times of their own but are a constant step apart, as in AVI."""
    return bool(container.format.name == "avi")


def origin_of(container: Any, stream: Any, packet: Times, frame: Any, *, piped: bool) -> Fraction:
    """What the clock of the file shows at its start, in seconds.

    Args:
        container: The opened file.
        stream: Its video track.
        packet: Decoding and display time of the first packet in units of the track, either of them None if unknown.
        frame: The first frame.
        piped: Whether the file can be opened only once.
    """
    if counts_packets(container):
        return Fraction((stream.start_time or 0) * stream.time_base)
    start = Fraction(0) if frame.pts is None else Fraction(frame.pts * frame.time_base)
    if start <= 0 or not any(name in container.format.name for name in TIMELINES):
        return start
    delay = _reordering(container, stream, packet, piped=piped)
    return delay or (start if _is_lead_in(container, start) else Fraction(0))


def _reordering(container: Any, stream: Any, packet: Times, *, piped: bool) -> Fraction:
    """How long after it was decoded the first frame is shown, where no edit list takes that off the times."""
    decoded, shown = packet
    if decoded is None or shown is None or not shown > decoded >= 0:
        return Fraction(0)
    spoken = decoded > 0 if piped else has_edits(Path(container.name), stream.index)
    return Fraction(0) if spoken else (shown - decoded) * stream.time_base


def has_edits(path: Path, index: int) -> bool:
    """Whether an MP4 file has an edit list for a track that moves its times."""
    try:
        with path.open("rb") as file:
            (begin, end), *_ = _boxes(file, 0, path.stat().st_size, b"moov")
            begin, end = _boxes(file, begin, end, b"trak")[index]
            (begin, end), *_ = _boxes(file, begin, end, b"edts")
            (begin, end), *_ = _boxes(file, begin, end, b"elst")
            file.seek(begin)
            version, count = struct.unpack(">B3xI", file.read(8))
            entry = struct.Struct(">Qq4x" if version else ">Ii4x")
            return any(entry.unpack(file.read(entry.size))[1] for _ in range(count))
    except (OSError, ValueError, IndexError, struct.error):  # there is none, or it is unlike any that FFmpeg reads
        return False


def _boxes(file: BinaryIO, begin: int, end: int, kind: bytes) -> list[tuple[int, int]]:
    """Where the contents of the boxes of a kind are, among those from one place of an MP4 file to another."""
    found = []
    while begin + 8 <= end:
        file.seek(begin)
        size, name = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:
            (size,), head = struct.unpack(">Q", file.read(8)), 16
        size = size or end - begin
        if size < head:
            break
        if name == kind:
            found.append((begin + head, begin + size))
        begin += size
    return found


def _is_lead_in(container: Any, start: Fraction) -> bool:
    """Whether the pictures begin later than the sound by just what its encoder puts before it."""
    for track in container.streams.audio:
        context = track.codec_context
        begins = (track.start_time or 0) * track.time_base
        for samples in LEAD_INS.get(context.name.removesuffix("float"), ()):
            if abs(start - begins - Fraction(samples, context.sample_rate)) <= ROUNDED:
                return True
    return False
