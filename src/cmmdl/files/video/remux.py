"""From the part file to the target: packets copied with their exact times, and the sound of the visible clip."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmmdl.files.images import Note
from cmmdl.files.video.clip import DEFAULT_RATE, Facts, import_av
from cmmdl.files.video.codecs import Codec

if TYPE_CHECKING:
    from cmmdl.files.video.encoding import Stamps

SOUND = {".webm": "libopus", ".mp4": "aac", ".m4v": "aac", ".mov": "aac", ".mkv": "aac"}
"""What sound becomes where the container does not hold it as it is."""

HELD = {
    ".mp4": {"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"},
    ".m4v": {"aac", "mp3", "ac3", "alac"},
    ".webm": {"opus", "vorbis"},
}
"""Sound that is copied as it is; Matroska and QuickTime hold nearly all."""


@dataclass(frozen=True)
class Sound:
    """Which sound goes into the target.

    Attributes:
        file: The file that has it.
        shift: Added to its times.
        first: Where it is cut off at the start, on the clock of the target; None where it is not.
        last: The same of the end.
    """

    file: str
    shift: Fraction
    first: Fraction | None
    last: Fraction | None

    def covers(self, moment: Fraction) -> bool:
        """Whether a moment on the clock of the target is heard."""
        return (self.first is None or moment >= self.first) and (self.last is None or moment <= self.last)


def copied_to(part: Path, suffix: str) -> Path:
    """Where the target grows; hidden, and removed by the next run after a kill."""
    return part.with_name(f"{part.stem}.to{suffix}")


def remux(part: Path, out: Path, stamps: Stamps, codec: Codec, like: Facts, sound: Sound | None, note: Note) -> None:
    """Copies the packets of the part file into the target, which appears when it is whole.

    Args:
        part: Matroska file of one video track.
        out: The target.
        stamps: Times and lengths of the packets, in their order and in units of the visible clip.
        codec: What the packets are.
        like: The visible clip, for its times and rotation.
        sound: What is heard, None for nothing.
        note: Called with a line about sound that was encoded anew.

    Raises:
        OSError: If it cannot be written.
    """
    av = import_av()
    temporary, time_base = copied_to(part, out.suffix.lower()), like.time_base
    movflags = {"movflags": "+faststart"} if out.suffix.lower() in (".mp4", ".m4v", ".mov") else {}
    try:
        with av.open(str(part)) as source, av.open(str(temporary), "w", options=movflags) as target:
            track = source.streams.video[0]
            video = target.add_stream_from_template(track, opaque=True)  # its decoder need not be an encoder
            video.time_base = time_base
            video.codec_context.framerate = like.rate or DEFAULT_RATE  # else Matroska shows its unit as the rate
            if codec.tag and movflags:
                video.codec_context.codec_tag = codec.tag
            if like.tags.rotation and out.suffix.lower() != ".webm":
                video.set_display_rotation(like.tags.rotation)
            heard = _Heard(sound, target, out.suffix.lower(), note) if sound else None
            for packet in _stamped(source.demux(track), stamps, video, time_base):
                if heard:
                    heard.until(packet.dts * time_base)
                target.mux_one(packet)
            if heard:
                heard.until(None)
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)


def _stamped(packets: Iterator[Any], stamps: Stamps, video: Any, time_base: Fraction) -> Iterator[Any]:
    """Packets with the times that the encoder gave them."""
    index, last = 0, len(stamps.pts)
    usual = _usual_length(stamps)
    for packet in packets:
        if not packet.size or index == last:
            continue
        packet.stream, packet.time_base = video, time_base
        packet.pts, packet.dts = stamps.pts[index], stamps.dts[index]
        packet.duration = stamps.lengths[index] or usual
        index += 1
        yield packet


def _usual_length(stamps: Stamps) -> int:
    """How long the last frame is shown: as long as frames are on average."""
    if len(stamps.pts) < 2:
        return stamps.lengths[0] if stamps.lengths else 0
    return round((max(stamps.pts) - min(stamps.pts)) / (len(stamps.pts) - 1))


class _Heard:
    """The sound of a file on its way into another."""

    def __init__(self, sound: Sound, target: Any, suffix: str, note: Note) -> None:
        self.sound, self.target = sound, target
        self.file = import_av().open(sound.file)
        self.tracks: dict[int, Any] = {}
        self.copied = set[int]()
        for track in self.file.streams.audio:
            name = track.codec_context.name.removesuffix("float")
            if suffix in HELD and name not in HELD[suffix]:
                note(f"{sound.file}: {name} sound does not go into {suffix}; it was encoded anew ({SOUND[suffix]})")
                self.tracks[track.index] = target.add_stream(SOUND[suffix], rate=track.codec_context.sample_rate)
            else:
                self.tracks[track.index] = target.add_stream_from_template(track)
                self.copied.add(track.index)
        self.packets = self._packets()
        self.next = next(self.packets, None)

    def until(self, moment: Fraction | None) -> None:
        """Writes what is heard before that moment, or the rest."""
        while self.next is not None and (moment is None or self.next.dts * self.next.time_base <= moment):
            self.target.mux_one(self.next)
            self.next = next(self.packets, None)
        if self.next is None:
            self.file.close()

    def _packets(self) -> Iterator[Any]:
        """Packets of all tracks on the clock of the target, copied or encoded anew."""
        for packet in self.file.demux(tuple(self.file.streams.audio)):
            index = packet.stream.index
            if index in self.copied:
                if packet.dts is not None and self._shifted(packet):
                    packet.stream = self.tracks[index]
                    yield packet
                continue
            for frame in packet.decode():
                if self._shifted(frame):
                    yield from self.tracks[index].encode(frame)
        for index in self.tracks.keys() - self.copied:
            yield from self.tracks[index].encode(None)

    def _shifted(self, piece: Any) -> bool:
        """Moves a packet or frame to the clock of the target; whether it is heard there."""
        steps = round(self.sound.shift / piece.time_base)
        piece.pts += steps
        if piece.dts is not None and hasattr(piece, "stream"):
            piece.dts += steps
        return self.sound.covers(piece.pts * piece.time_base)
