"""Sound and subtitles of the visible clip on their way into the result: copied, or encoded anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from cmmdl.files.images import Note
from cmmdl.files.notes import ResultNote
from cmmdl.files.video.clip import import_av

QUICKTIME_PCM = [f"pcm_{kind}{order}" for kind in ("s16", "s24", "s32", "f32") for order in ("le", "be")]
QUICKTIME_PCM += ["pcm_alaw", "pcm_mulaw", "pcm_u8"]

HELD = {
    ".mp4": {"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"},
    ".m4v": {"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"},
    ".mov": {"aac", "mp3", "ac3", "eac3", "alac", *QUICKTIME_PCM},
    ".webm": {"opus", "vorbis"},
}
"""Sound that players find in each container and that is copied; Matroska holds whatever FFmpeg puts there."""

ANEW = {".webm": "libopus"}
"""What other sound becomes; elsewhere AAC."""

LOSSLESS = {".mkv": "flac", ".mov": "alac"}
"""What sound becomes that has lost nothing so far."""

WITH_HANDLERS = (".mp4", ".m4v", ".mov")
"""Containers of the family of QuickTime."""

BY_COUNT = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""The usual layout of so many channels."""

BITS_A_CHANNEL = 80_000
"""Bits a second of each channel that is encoded anew."""

JITTER = Fraction(1, 10)
"""Times that are off by less are those of the samples: containers round them."""


@dataclass(frozen=True)
class Beside:
    """What goes with the pictures into the target.

    Attributes:
        file: The file that has it.
        kind: Which of its tracks.
        shift: Added to their times.
        first: Where they are cut off at the start, on the clock of the target; None where they are not.
        last: The same of the end.
        anew: Whether sound is encoded anew, even if the container seems to hold it.
        tags: Whether languages and titles are kept.
    """

    file: str
    kind: Literal["audio", "subtitle"]
    shift: Fraction
    first: Fraction | None
    last: Fraction | None
    anew: bool = False
    tags: bool = True

    def covers(self, moment: Fraction) -> bool:
        """Whether a moment on the clock of the target is heard or read."""
        return (self.first is None or moment >= self.first) and (self.last is None or moment <= self.last)


class Tracks:
    """The tracks of one kind, packet by packet.

    Args:
        beside: Which.
        target: The container that is written.
        suffix: Of the target.
        note: Called with a line about what is not copied as it is.

    Raises:
        FFmpegError: If they cannot be written.
    """

    def __init__(self, beside: Beside, target: Any, suffix: str, note: Note) -> None:
        self.beside, self.target, self.suffix, self.note = beside, target, suffix, note
        self.file = import_av().open(beside.file)
        self.sources = tuple(track for track in self.file.streams if track.type == beside.kind)
        self.tracks: dict[int, Any] = {}
        self.encoded: dict[int, Fraction | None] = {}  # where the samples of each end so far
        for source in self.sources:
            self._add(source)
        self.packets = self._packets()
        self.next = next(self.packets, None) if self.tracks else None

    def until(self, moment: Fraction | None) -> None:
        """Writes what comes before that moment, or the rest."""
        while self.next is not None and (moment is None or self.next.dts * self.next.time_base <= moment):
            self.target.mux_one(self.next)
            self.next = next(self.packets, None)
        if self.next is None:
            self.file.close()

    def _add(self, source: Any) -> None:
        """A track for one of the source's."""
        track = self._copied(source)
        if track is None and self.beside.kind == "subtitle":
            name = source.codec_context.codec.canonical_name if source.codec_context else "unknown"
            holder = ".mp4" if name == "mov_text" else ".mkv"
            self.note(
                ResultNote(f"{self.beside.file}: {name} subtitles do not go into {self.suffix}; {holder} keeps them")
            )
            return
        if track is None:
            track = self._anew(source)
            self.encoded[source.index] = None
        self.tracks[source.index] = track
        if self.beside.tags:
            track.metadata.update(kept_tags(source.metadata, self.suffix))
        track.disposition = source.disposition

    def _copied(self, source: Any) -> Any:
        """A track that takes the packets as they are; None if the container holds none of the kind."""
        if source.codec_context is None or self.beside.anew:
            return None
        name = source.codec_context.name.removesuffix("float")
        if self.beside.kind == "audio" and name not in HELD.get(self.suffix, {name}):
            return None
        try:
            return self.target.add_stream_from_template(source)
        except ValueError:  # so says FFmpeg
            return None

    def _anew(self, source: Any) -> Any:
        """A track of an encoder, with the channels and the rate of the source as far as it can."""
        context = source.codec_context
        name = ANEW.get(self.suffix, "aac")
        if context.name.startswith("pcm_") or context.codec.lossless:
            name = LOSSLESS.get(self.suffix, name)
        rate, layout, pixel = _encodable(name, context)
        shown, before = name.removeprefix("lib"), context.layout.name.replace("(side)", "")
        shown = shown if before == layout or before.endswith(" channels") else f"{shown}, {layout} instead of {before}"
        self.note(
            f"{self.beside.file}: {context.name.removesuffix('float')} sound does not go into {self.suffix}; "
            f"it was encoded anew ({shown})"
        )
        bits = BITS_A_CHANNEL * import_av().AudioLayout(layout).nb_channels
        track = self.target.add_stream(name, rate=rate, layout=layout, format=pixel)
        if name not in LOSSLESS.values():
            track.codec_context.bit_rate = bits
        return track

    def _packets(self) -> Iterator[Any]:
        """Packets of all tracks on the clock of the target."""
        for packet in self._demuxed():
            track = self.tracks[packet.stream.index]
            if packet.stream.index in self.encoded:
                for frame in self._decoded(packet):
                    yield from track.encode(frame)
            elif packet.size and packet.dts is not None and self._moved(packet):
                packet.stream = track
                yield packet
        for index in self.encoded:
            yield from self.tracks[index].encode(None)

    def _demuxed(self) -> Iterator[Any]:
        """Packets of the source, up to where it is damaged."""
        sources = [source for source in self.sources if source.index in self.tracks]
        packets, name = self.file.demux(*sources), "sound" if self.beside.kind == "audio" else "subtitles"
        while True:
            try:
                yield next(packets)
            except StopIteration:
                return
            except import_av().FFmpegError as error:
                self.note(ResultNote(f"{self.beside.file}: its {name} ended early, it is damaged ({error.strerror})"))
                return

    def _decoded(self, packet: Any) -> Iterator[Any]:
        """The samples of a packet that are heard, with times that follow each other."""
        index = packet.stream.index
        try:
            frames = packet.decode()
        except import_av().FFmpegError:
            self.note(ResultNote(f"{self.beside.file}: damaged sound was left out"))
            return
        for frame in frames:
            moment = self._moment(frame, self.encoded[index])
            self.encoded[index] = moment + Fraction(frame.samples, frame.sample_rate)
            if self.beside.covers(moment):
                frame.time_base = Fraction(1, frame.sample_rate)
                frame.pts = round(moment * frame.sample_rate)
                yield frame

    def _moment(self, frame: Any, expected: Fraction | None) -> Fraction:
        """When samples are heard: where those before them end, unless the file says that something is missing."""
        told = frame.pts if frame.pts is not None else frame.dts
        moment = self.beside.shift + (told * frame.time_base if told is not None else 0)
        return moment if expected is None or moment >= expected + JITTER else expected

    def _moved(self, packet: Any) -> bool:
        """Puts a packet on the clock of the target; whether it is heard or read there."""
        steps = round(self.beside.shift / packet.time_base)
        packet.pts = (packet.dts if packet.pts is None else packet.pts) + steps
        packet.dts += steps
        return self.beside.covers(packet.pts * packet.time_base)


def _encodable(name: str, source: Any) -> tuple[int, str, str]:
    """Rate, layout and sample format that an encoder takes, as near to the source as there are."""
    av = import_av()
    codec = av.Codec(name, "w")
    rates = sorted(codec.audio_rates or [source.sample_rate])
    rate = next((rate for rate in rates if rate >= source.sample_rate), rates[-1])
    formats = [one.name for one in codec.audio_formats]
    wanted = ("s32", "s32p") if source.format.bytes > 2 else ("s16", "s16p")
    wanted = wanted if name in LOSSLESS.values() else ("fltp", "flt")
    kind = next((one for one in wanted if one in formats), formats[0])
    usual = BY_COUNT.get(source.layout.nb_channels, "stereo")
    for layout in (source.layout.name.replace("(side)", ""), usual):
        context = av.CodecContext.create(name, "w")
        try:
            context.layout, context.sample_rate, context.format = layout, rate, kind
            context.time_base = Fraction(1, rate)
            context.open()
        except (av.FFmpegError, ValueError):
            continue
        return rate, layout, kind
    return rate, "stereo", kind


def kept_tags(metadata: dict[str, str], suffix: str) -> dict[str, str]:
    """Language and title of a track, which MP4 calls its name; the name of its handler where there are handlers."""
    told = {key.lower(): value for key, value in metadata.items()}
    kept: dict[str, str] = {name: told[name] for name in ("language", "title") if name in told}
    if "name" in told:
        kept.setdefault("title", told["name"])
    if "handler_name" in told and suffix in WITH_HANDLERS:
        kept["handler_name"] = told["handler_name"]
    return kept
