"""Writing a video file: encoded into a part file beside the target, remuxed at the end."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cmmdl.errors import UnwritableError, UserError
from cmmdl.files.atomic import write_remedy
from cmmdl.files.images import Array, Note
from cmmdl.files.video.clip import DEFAULT_RATE, Facts, Frame, import_av
from cmmdl.files.video.codecs import CONTAINERS, GREY, Codec, Encoding
from cmmdl.files.video.remux import Picture, copied_to, remux, stored_aspect, turns
from cmmdl.files.video.tracks import Beside

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]


FLUSHED = {"cluster_time_limit": "1000", "flush_packets": "1"}
"""The part file is on the disk up to the last second, whatever happens to the process."""


@dataclass
class Stamps:
    """The exact times of all packets, in units of the visible clip: Matroska keeps milliseconds only."""

    pts: array[int] = field(default_factory=lambda: array("q"))
    dts: array[int] = field(default_factory=lambda: array("q"))
    lengths: array[int] = field(default_factory=lambda: array("q"))


class VideoWriter:
    """Writes a video file, as a `cmmdl.files.video.sinks.Sink`.

    Frames go into ``.NAME.part.mkv`` beside the target. `finish` copies its packets, and the sound of the visible
    clip, into the target, which is renamed into place when it is whole.

    Args:
        out: The target, ``.mp4``, ``.mkv``, ``.mov`` or ``.webm``.
        encoding: Codec, quality and depth.
        like: The visible clip: times, colour tags, rotation and metadata.
        sound: The file whose sound is kept, None for none.
        subtitles: The same of subtitles.
        tagged: Whether titles, languages, the time and the place of the recording are kept.
        note: Called with a line about anything worth knowing.

    Raises:
        UserError: If the codec and the container do not go together, or another run writes to the target.
    """

    def __init__(
        self,
        out: Path,
        encoding: Encoding,
        like: Facts,
        *,
        sound: str | None,
        subtitles: str | None = None,
        tagged: bool = True,
        note: Note,
    ) -> None:
        self.out, self.encoding, self.note, self.tagged = out, encoding, note, tagged
        self.like = like if tagged else replace(like, metadata={}, track_metadata={})
        self.sound, self.subtitles = sound, subtitles
        self.codec, self.name, self.count = encoding.of(out), str(out), 0
        self.part, self.partial = part_of(out), out.with_name(f"{out.stem}.partial.mkv")
        self.stamps = Stamps()
        self.stream: Any = None
        self.last: int | None = None
        self.cut = Fraction(0)
        self.lock = _locked(self.part)
        self.container = self._opened()

    def write(self, frame: Frame) -> None:
        """Encodes one frame.

        Raises:
            UserError: If it cannot be written.
        """
        if self.stream is None:
            self.cut = frame.time - self.like.begins
            self.stream = self._stream(frame.pixels)
        picture = to_frame(self._prepared(frame.pixels), self.stream.codec_context, self.like.tags.colour)
        picture.pts, picture.time_base = self._stamp(frame), self.time_base
        self._mux(picture)
        self.count += 1

    def finish(self, *, complete: bool = True) -> None:
        """Ends the part file and makes the target of it, with the sound as far as there are frames."""
        if not self.count:
            return self._drop()
        self._mux(None)
        self._close()
        picture = Picture(self.part, self.stamps, self.time_base, self.codec, self.like)
        with self._told():
            remux(picture, self.out, self._beside(complete), self.note)
        self._drop()
        return None

    def abandon(self) -> str:
        """Keeps what was encoded as ``NAME.partial.mkv``."""
        if not self.count:
            self._drop()
            return ""
        for step in (lambda: self._mux(None), self._close):
            with suppress(Exception):  # whatever was wrong is told already
                step()
        os.replace(self.part, self.partial)
        self._unlock()
        whole = packets_in(self.partial)  # fewer than were given: those in the encoder may be lost on a full disk
        if not whole:
            self.partial.unlink()
            return ""
        return f"the first {whole} frames are in {self.partial}"

    @property
    def _shift(self) -> Fraction:
        """What is added to the times of frames, which count from the start of the visible clip."""
        return -self.cut

    def _stamp(self, frame: Frame) -> int:
        """The time of a frame in units, always later than the one before."""
        stamp = round((frame.time + self._shift) / self.time_base)
        self.last = stamp if self.last is None else max(stamp, self.last + 1)
        return self.last

    def _beside(self, complete: bool) -> list[Beside]:
        """Which part of sound and subtitles goes with the frames."""
        first = min(self.stamps.pts) * self.time_base if self.cut else None
        last = None if complete else max(self.stamps.pts) * self.time_base + 1 / (self.like.rate or DEFAULT_RATE)
        shift = self._shift - self.like.origin
        sides: list[tuple[str | None, Literal["audio", "subtitle"]]] = [
            (self.sound, "audio"),
            (self.subtitles, "subtitle"),
        ]
        return [Beside(file, kind, shift, first, last, tags=self.tagged) for file, kind in sides if file]

    @property
    def time_base(self) -> Fraction:
        """The unit of the times: that of the visible clip."""
        return self.like.time_base

    def _opened(self) -> Any:
        with self._told():
            return import_av().open(str(self.part), "w", format="matroska", options=FLUSHED)

    def _stream(self, pixels: Array) -> Any:
        """The track for frames like the first."""
        options, tags = dict(self.codec.options), self.like.tags
        os.environ.setdefault("SVT_LOG", "1")  # else the encoder of AV1 prints its settings
        if self.codec.quality is not None:
            options["crf"] = str(self.encoding.quality if self.encoding.quality is not None else self.codec.quality)
        stream = self.container.add_stream(self.codec.encoder, rate=self.like.rate or DEFAULT_RATE, options=options)
        context, prepared = stream.codec_context, self._prepared(pixels)
        context.height, context.width = prepared.shape[:2]
        context.pix_fmt = pixel_format(self.codec, self.encoding.bits, prepared)
        context.time_base = stream.time_base = self.time_base
        if self.codec.name == "vp9":
            context.bit_rate = 0
        context.thread_type, context.thread_count = "AUTO", 0
        if aspect := stored_aspect(self.like, self.out):
            context.sample_aspect_ratio = aspect
        for name, value in tags.colour.items() if "rgb" not in context.pix_fmt and context.pix_fmt != "bgr0" else ():
            setattr(context, name, value)
        if turns(self.like, self.out):
            stream.set_display_rotation(tags.rotation)
        height, width = pixels.shape[:2]
        if prepared.shape[:2] != pixels.shape[:2] and {height % 2, width % 2} != {0}:
            self.note(
                f"{self.out}: {width}x{height} was padded to even sides, which {self.codec.name} needs; "
                "--codec vp9 and ffv1 keep the size"
            )
        return stream

    def _prepared(self, pixels: Array) -> Array:
        """As stored: turned back, of even sides where the codec needs them, grey as colour where it has no grey."""
        if turns(self.like, self.out):
            pixels = np.ascontiguousarray(np.rot90(pixels, -self.like.tags.rotation // 90))
        height, width = pixels.shape[:2]
        if self.codec.even and (height % 2 or width % 2):
            edges = ((0, height % 2), (0, width % 2), (0, 0))[: pixels.ndim]
            pixels = np.pad(pixels, edges, mode="edge")
        return pixels

    def _mux(self, picture: Any) -> None:
        """Encodes a frame, or the rest, and keeps the exact times of the packets."""
        with self._told():
            for packet in self.stream.encode(picture):
                self.stamps.pts.append(packet.pts)
                self.stamps.dts.append(packet.dts)
                self.stamps.lengths.append(packet.duration or 0)
                self.container.mux(packet)

    def _close(self) -> None:
        with self._told():
            self.container.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the system or FFmpeg has to say against the target, as one line."""
        try:
            yield
        except UserError:
            raise
        except OSError as error:
            raise UnwritableError(f"{self.out}: {write_remedy(error, self.out)}") from error
        except (ValueError, import_av().FFmpegError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UnwritableError(
                f"{self.out}: {self.codec.name} could not be written ({reason}); choose another --codec, or .mkv"
            ) from error

    def _drop(self) -> None:
        """Removes the part file."""
        self.container.close()
        self.part.unlink(missing_ok=True)
        self._unlock()

    def _unlock(self) -> None:
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None


def part_of(out: Path) -> Path:
    """Where frames go until the target is whole."""
    return out.with_name(f".{out.stem}.part.mkv")


def packets_in(path: Path) -> int:
    """How many frames a file holds whole, which may end anywhere."""
    av, count = import_av(), 0
    with suppress(av.FFmpegError), av.open(str(path)) as container:
        for packet in container.demux(video=0):
            count += packet.size > 0 and not packet.is_corrupt
    return count


def pixel_format(codec: Codec, bits: int, pixels: Array) -> str:
    """The pixel format for frames like this one."""
    if codec.quality is not None:
        return codec.formats[bits]
    depth = 8 if pixels.dtype == np.uint8 else 16
    return GREY[depth] if pixels.ndim == 2 else codec.formats[depth]


def to_frame(pixels: Array, context: Any, colour: dict[str, int]) -> Any:
    """An array as a frame in the pixel format of the encoder, by the matrix and range that the clip is tagged with."""
    av = import_av()
    deep = pixels.dtype != np.uint8
    kind = ("gray16le" if deep else "gray") if pixels.ndim == 2 else ("rgb48le" if deep else "rgb24")
    if pixels.ndim == 2 and not context.pix_fmt.startswith("gray"):
        pixels, kind = np.repeat(pixels[..., None], 3, 2), "rgb48le" if deep else "rgb24"
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=kind)
    if kind == context.pix_fmt:
        return frame
    matrix = {1: "ITU709", 9: "BT2020", 7: "SMPTE240M", 4: "FCC"}.get(colour.get("colorspace", 2), "ITU601")
    yuv = context.pix_fmt.startswith("yuv")
    full = colour.get("color_range") == 2
    return frame.reformat(
        format=context.pix_fmt,
        dst_colorspace=matrix if yuv else None,
        dst_color_range=("JPEG" if full else "MPEG") if yuv else None,
        threads=1,
    )


def _locked(part: Path) -> int | None:
    """Takes the part file for this process, and removes what a killed run left in it.

    Raises:
        UnwritableError: If another process is writing it, or the folder is missing.
    """
    for suffix in CONTAINERS:
        copied_to(part, suffix).unlink(missing_ok=True)
    try:
        lock = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UnwritableError(f"{part}: {write_remedy(error, part)}") from error
    if fcntl is None:
        os.close(lock)
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise UnwritableError(f"{part}: another run is writing it; wait for it, or give another -o") from error
    return lock
