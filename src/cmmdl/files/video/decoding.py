"""Clips that PyAV opens: video files, cameras, network addresses, containers on standard input."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from cmmdl.errors import UnreadableError, UnusableError, UserError
from cmmdl.files.images import Note
from cmmdl.files.notes import ResultNote
from cmmdl.files.video import planes
from cmmdl.files.video.clip import DEFAULT_RATE, Facts, Frame, Tags, import_av
from cmmdl.files.video.raw import is_piped, standard_input
from cmmdl.files.video.timeline import Times, counts_packets, origin_of
from cmmdl.files.video.turning import turn_of

LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtp", "udp", "tcp", "srt", "mms")
DEVICES = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
"""FFmpeg's input for cameras on each system."""

AT_ONCE = {"analyzeduration": "500000", "probesize": "500000", "rtsp_flags": "prefer_tcp"}
"""FFmpeg's options of network streams: by default it gathers seconds before it gives the first frame."""

DEINTERLACE = "deinterlace it first, such as with ffmpeg -i IN -vf bwdif OUT"

COVER = 0x400
"""FFmpeg's disposition of a picture on the cover of a song."""

OPEN_SECONDS, READ_SECONDS, CLOSE_SECONDS = 60.0, 15.0, 1.0
"""How long is waited for a live source: until it is there, for each frame, and for the last one when it is closed."""


class DecodedClip:
    """A clip that PyAV decodes, as a `cmmdl.files.video.clip.Clip`.

    Args:
        source: A path, ``/dev/video0``, an address such as ``rtsp://…``, or ``-`` for a container on standard input.
        colour: Whether colour is wanted; without it the luma alone is given, as it is stored.
        note: Called with a line about anything worth knowing.

    Raises:
        UserError: If it cannot be opened, holds no video, or only one picture.
    """

    def __init__(self, source: str, *, colour: bool, note: Note) -> None:
        self.source, self.colour, self.note = source, colour, note
        self.name = "standard input" if source == "-" else source
        self.live, self.piped = is_live(source), is_piped(source)
        self.closed, self.decoding, self.lasts = False, threading.Lock(), Fraction(0)
        self.container = _open(source, self.name, live=self.live)
        self.stream = _video_stream(self.container, self.name)
        self.stream.thread_type = "SLICE" if self.live else "AUTO"
        self.packet: Times | None = None
        self.decoded = self._decode()
        self.first = _first(self.decoded, self.name)
        self.counted, self.first_dts = counts_packets(self.container), self.first.dts
        self.origin = origin_of(self.container, self.stream, self.packet or (None, None), self.first, piped=self.piped)
        self.turn = turn_of(self.first, self.name)
        self.facts = self._facts()
        if not colour and planes.is_coloured(self.first):
            note(f"{self.name}: is in colour; its luma is used, which is not temperature")
        if self.first.interlaced_frame:
            note(ResultNote(f"{self.name}: is interlaced, moving edges have combs; {DEINTERLACE}"))

    def frames(self) -> Iterator[Frame]:
        """The frames in order; what goes back in time is left out.

        Raises:
            UserError: If the file is damaged or ends before its end.
        """
        last, lost, first = None, 0, self.first
        self.first = None
        for frame in self._from(first):
            if (frame.height, frame.width) != (first.height, first.width):
                raise UnusableError(f"{self.name}: its frames change size after {last:.2f} s; cut it there")
            moment = self._time(frame, last)
            if last is not None and moment <= last:
                lost += 1
                continue
            last = moment
            self.lasts = (frame.duration or 0) * frame.time_base
            yield Frame(moment, self._pixels(frame), time.monotonic())
        if lost:
            self.note(f"{self.name}: frames left out because their time does not follow the one before: {lost}")
        self._check_end(last)

    def sample(self, count: int) -> list[Any]:
        """Frames spread over the file, by jumping to them; of a stream the first one alone."""
        if not self.facts.seconds or self.live or self.piped:
            return [self._pixels(self.first)]
        other = DecodedClip(self.source, colour=self.colour, note=lambda text: None)
        try:
            return list(other._spread(count)) or [self._pixels(self.first)]  # some streams find nothing by jumping
        finally:
            other.close()

    def close(self) -> None:
        """Closes the file or connection; if a thread waits for its next frame, once that is there."""
        self.closed = True
        if self.decoding.acquire(timeout=CLOSE_SECONDS):
            self.container.close()
            self.decoding.release()

    def _spread(self, count: int) -> Iterator[Any]:
        """The first frame after each of so many equal steps."""
        assert self.facts.seconds
        for step in range(count):
            moment = self.origin + Fraction(self.facts.seconds) * step / count
            self.container.seek(int(moment / self.stream.time_base), stream=self.stream)
            frame = next(iter(self.container.decode(self.stream)), None)
            if frame is not None:
                yield self._pixels(frame)

    def _decode(self) -> Iterator[Any]:
        """Decoded frames; what FFmpeg says of damage becomes one line."""
        av = import_av()
        frames = self._frames()
        try:
            while (frame := self._next(frames)) is not None:
                yield frame
        except (av.error.FFmpegError, OSError) as error:
            if self.live:
                self.note(f"{self.name}: the stream ended ({error.strerror})")
                return
            raise UnreadableError(_broken(self.name, "damaged", error.strerror, piped=self.piped)) from error

    def _frames(self) -> Iterator[Any]:
        """Frames as they come out of the decoder; the times of the first packet are kept."""
        for packet in self.container.demux(self.stream):
            if self.packet is None:
                self.packet = packet.dts, packet.pts
            yield from packet.decode()

    def _next(self, frames: Iterator[Any]) -> Any:
        """The next decoded frame; None at the end, or if the clip was closed: FFmpeg crashes if both happen at once."""
        with self.decoding:
            frame = None if self.closed else next(frames, None)
            if self.closed:
                self.container.close()
            return None if self.closed else frame

    def _from(self, first: Any) -> Iterator[Any]:
        yield first
        yield from self.decoded

    def _pixels(self, frame: Any) -> Any:
        return self.turn.upright(planes.rgb(frame) if self.colour else planes.grey(frame))

    def _time(self, frame: Any, last: Fraction | None) -> Fraction:
        """Seconds since the start; frames without a time of their own follow at the rate of the clip."""
        following = Fraction(0) if last is None else last + 1 / (self.facts.rate or DEFAULT_RATE)
        if not self.counted:
            return following if frame.pts is None else frame.pts * frame.time_base - self.origin
        if frame.dts is None or self.first_dts is None:
            return following
        counted = (frame.dts - self.first_dts) * frame.time_base
        return following if last is not None and counted <= last else counted

    def _facts(self) -> Facts:
        stream, frame = self.stream, self.first
        end = _end(self.container, stream)
        turned = self.turn.on_its_side
        height, width = (frame.width, frame.height) if turned else (frame.height, frame.width)
        return Facts(
            name=self.name,
            height=height,
            width=width,
            white=planes.white(frame, colour=self.colour),
            rate=_rate(stream),
            time_base=stream.time_base,
            origin=self.origin,
            begins=self._time(frame, None),
            count=stream.frames or None,
            seconds=None if self.live or end is None else float(end - self.origin),
            live=self.live,
            piped=self.piped,
            has_sound=bool(self.container.streams.audio),
            has_subtitles=bool(self.container.streams.subtitles),
            metadata=dict(self.container.metadata),
            track_metadata=dict(stream.metadata),
            tags=self._tags(),
        )

    def _tags(self) -> Tags:
        """What is kept for the result: its frames are stored upright where these are mirrored."""
        aspect, colour = _aspect(self.stream), _colour(self.stream.codec_context)
        if self.turn.mirrored:
            return Tags(0, 1 / aspect if aspect and self.turn.on_its_side else aspect, colour)
        return Tags(self.turn.degrees, aspect, colour)

    def _check_end(self, last: Fraction | None) -> None:
        """Refuses a file that stops well before the end that its header names."""
        end = self.facts.seconds
        if end is None or last is None or self.live or self.closed:
            return
        if float(last) + max(3 / float(self.facts.rate or DEFAULT_RATE), float(self.lasts)) + 0.5 < end:
            raise UnreadableError(
                f"{self.name} is truncated: it ends after {float(last):.2f} of {end:.2f} s; "
                "copy it again from its source"
            )


def is_live(source: str) -> bool:
    """Whether frames that are not fetched in time are lost: a camera or a network stream."""
    return source.split("://")[0].lower() in LIVE_SCHEMES or is_device(source)


def is_device(source: str) -> bool:
    """Whether it is a camera of this computer."""
    return source.startswith(("/dev/video", "video="))


def _open(source: str, name: str, *, live: bool) -> Any:
    """The container, or one line about why not."""
    av = import_av()
    kind = DEVICES.get(sys.platform) if is_device(source) else None
    timeout = (OPEN_SECONDS, READ_SECONDS) if live else None
    try:
        options = AT_ONCE if live and kind is None else {}
        return av.open(standard_input() if source == "-" else source, format=kind, options=options, timeout=timeout)
    except FileNotFoundError as error:
        raise UnreadableError(f"{name}: there is no such file or device; check the path") from error
    except PermissionError as error:
        raise UnreadableError(f"{name}: no permission to read it; change its permissions and try again") from error
    except IsADirectoryError as error:
        raise UnreadableError(f"{name} is a folder; give a clip, or two folders") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if live:
            raise UnreadableError(
                f"{name} cannot be reached ({reason}); check the address and that it sends"
            ) from error
        raise UnreadableError(_broken(name, "not a video, or is truncated", reason, piped=is_piped(source))) from error


def _broken(name: str, what: str, reason: str | None, *, piped: bool) -> str:
    """What cannot be read, with the remedy."""
    if piped:
        return (
            f"{name} is {what}, or cannot be read from a pipe ({reason}): most MP4 files have their index at the end; "
            "give the file itself, or pipe Matroska"
        )
    return f"{name} is {what} ({reason}); copy it again from its source"


def _video_stream(container: Any, name: str) -> Any:
    """The first video track that is no cover picture."""
    tracks = [track for track in container.streams.video if not int(track.disposition) & COVER]
    if not tracks:
        kinds = sorted({track.type for track in container.streams})
        raise UnreadableError(f"{name} has no video track ({' and '.join(kinds) or 'nothing'} only); give a clip")
    return tracks[0]


def _first(decoded: Iterator[Any], name: str) -> Any:
    try:
        frame = next(decoded, None)
    except UserError:
        raise
    if frame is None:
        raise UnreadableError(f"{name} contains no frames; record it again")
    return frame


def _end(container: Any, stream: Any) -> Fraction | None:
    """When the last frame ends, on the clock of the file."""
    if stream.duration:
        return (stream.duration + (stream.start_time or 0)) * stream.time_base
    if told := stream.metadata.get("DURATION"):
        hours, minutes, seconds = told.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)
    alone = container.duration and not container.streams.audio
    return Fraction(container.duration + (container.start_time or 0), 1_000_000) if alone else None


def _rate(stream: Any) -> Fraction | None:
    """Frames a second, about: the smaller of what FFmpeg finds, since it may take the unit of the times for a rate."""
    return min((Fraction(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate), default=None)


def _aspect(stream: Any) -> Fraction | None:
    aspect = stream.sample_aspect_ratio
    return aspect if aspect and aspect != 1 else None


def _colour(context: Any) -> dict[str, int]:
    """The colour tags that say something; 2 is unspecified, for the range 0."""
    names = ("color_range", "colorspace", "color_primaries", "color_trc")
    return {name: value for name in names if (value := int(getattr(context, name))) != (0 if name == names[0] else 2)}
