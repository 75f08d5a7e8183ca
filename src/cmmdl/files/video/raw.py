"""Raw frames on standard input and output, to be piped through FFmpeg, GStreamer and the like."""

from __future__ import annotations

import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from cmmdl.errors import UnreadableError, UnwritableError, UsageError
from cmmdl.files.images import Array
from cmmdl.files.levels import to_8_bits
from cmmdl.files.video.clip import DEFAULT_RATE, Facts, Frame


@dataclass(frozen=True)
class Layout:
    """How a raw frame lies in memory, named as in FFmpeg: a type, channels side by side, and whether blue is first."""

    dtype: str
    channels: int
    reverse: bool = False


LAYOUTS = {
    "gray": Layout("u1", 1),
    "gray16le": Layout("<u2", 1),
    "gray16be": Layout(">u2", 1),
    "grayf32le": Layout("<f4", 1),
    "rgb24": Layout("u1", 3),
    "bgr24": Layout("u1", 3, reverse=True),
    "rgb48le": Layout("<u2", 3),
    "rgba": Layout("u1", 4),
    "bgra": Layout("u1", 4, reverse=True),
}
"""Pixel formats by the names that FFmpeg has for them."""


def standard_input() -> BinaryIO:
    """Standard input without Python's buffer, whose lock a thread that still waits for bytes would hold at the end.

    A read gives what is there, and may be short.
    """
    return cast("BinaryIO", getattr(sys.stdin.buffer, "raw", sys.stdin.buffer))


def is_piped(source: str) -> bool:
    """Whether a source can be read only once: standard input, a named pipe, or ``<(…)`` of a shell; no camera."""
    if source == "-" or "://" in source or source.startswith(("/dev/video", "video=")):
        return source == "-"
    try:
        mode = Path(source).stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


class RawFrames:
    """Raw frames from a pipe, as a `cmmdl.files.video.clip.Clip`.

    Args:
        file: Read to its end; standard input by default.
        width: In pixels.
        height: In pixels.
        pixel: A name of `LAYOUTS`.
        rate: Frames a second.

    Raises:
        UserError: If nothing comes.
    """

    def __init__(
        self, width: int, height: int, pixel: str, *, rate: Fraction | None = None, file: BinaryIO | None = None
    ) -> None:
        self.layout, self.shape = LAYOUTS[pixel], (height, width, LAYOUTS[pixel].channels)
        self.file = file or standard_input()
        self.bytes = height * width * self.layout.channels * np.dtype(self.layout.dtype).itemsize
        rate = rate or DEFAULT_RATE
        self.rate = rate
        self.facts = Facts("standard input", height, width, rate=rate, time_base=1 / rate, piped=True)
        first = self._read()
        if first is None:
            raise UnreadableError("no frames came from standard input; check the command before the pipe")
        self.first: Array | None = first

    def frames(self) -> Iterator[Frame]:
        """The frames as they come.

        Raises:
            UserError: If the pipe closes within a frame.
        """
        index, pixels = 0, self.first
        self.first = None
        while pixels is not None:
            yield Frame(index / self.rate, pixels, time.monotonic())
            index, pixels = index + 1, self._read()

    def sample(self, count: int) -> list[Array]:
        """The first frame: the others are not there yet."""
        return [] if self.first is None else [self.first]

    def close(self) -> None:
        """The pipe is left to its owner."""

    def _read(self) -> Array | None:
        """One frame, or None at the end."""
        data = bytearray()
        while len(data) < self.bytes and (part := self.file.read(self.bytes - len(data))):
            data += part
        if not data:
            return None
        if len(data) < self.bytes:
            raise UnreadableError(
                f"standard input ended within a frame ({len(data)} of {self.bytes} bytes); check --size and --pixel"
            )
        pixels = np.frombuffer(data, self.layout.dtype).reshape(self.shape)
        pixels = pixels[..., 2::-1] if self.layout.reverse else pixels[..., :3]
        native = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
        return native[..., 0] if self.layout.channels == 1 else native


class RawWriter:
    """Writes raw frames to a pipe, as a `cmmdl.files.video.sinks.Sink`.

    Args:
        pixel: A name of `LAYOUTS`; None takes what suits the first frame, and ``told`` says which.
        told: Called with a line that says how to read what comes.
        rate: Frames a second, for that line.
        file: Standard output by default.
    """

    name = "standard output"

    def __init__(self, pixel: str | None, *, rate: Fraction | None, told: Any, file: BinaryIO | None = None) -> None:
        self.pixel, self.rate, self.told = pixel, rate, told
        self.file = file or sys.stdout.buffer
        self.count = 0

    def write(self, frame: Frame) -> None:
        """Writes one frame.

        Raises:
            UnwritableError: If the other end has closed the pipe.
        """
        if self.pixel is None:
            self.pixel = _suiting(frame.pixels)
        if not self.count:
            height, width = frame.pixels.shape[:2]
            rate = f" -framerate {float(self.rate):g}" if self.rate else ""
            self.told(f"standard output: -f rawvideo -pixel_format {self.pixel} -video_size {width}x{height}{rate}")
        try:
            self.file.write(arranged(frame.pixels, LAYOUTS[self.pixel]).tobytes())
            self.file.flush()
        except OSError as error:
            raise UnwritableError(f"standard output was closed by its reader after {self.count} frames") from error
        self.count += 1

    def finish(self, *, complete: bool = True) -> None:
        """All has been written."""

    def abandon(self) -> str:
        """What was written is with the reader."""
        return f"{self.count} frames were written"


def arranged(pixels: Array, layout: Layout) -> Array:
    """A picture in another layout: depth by its full range, grey as three equal channels, colour as luma."""
    values = _in_depth(pixels, np.dtype(layout.dtype))
    if layout.channels == 1:
        grey = values if values.ndim == 2 else (values @ np.array([0.299, 0.587, 0.114]))
        return grey.astype(layout.dtype) if values.dtype.kind == "f" else np.rint(grey).astype(layout.dtype)
    colour = values if values.ndim == 3 else np.repeat(values[..., None], 3, 2)
    colour = colour[..., ::-1] if layout.reverse else colour
    if layout.channels == 4:
        opaque = np.full((*colour.shape[:2], 1), np.iinfo(colour.dtype).max, colour.dtype)
        colour = np.concatenate([colour, opaque], 2)
    return np.ascontiguousarray(colour, layout.dtype)


def _in_depth(pixels: Array, dtype: np.dtype[Any]) -> Array:
    """Other depths: uint8 times 257 is uint16, floats run from 0 to 1."""
    if pixels.dtype.kind == dtype.kind and pixels.dtype.itemsize == dtype.itemsize:
        return pixels
    if dtype.kind == "f":
        return (pixels / np.float32(np.iinfo(pixels.dtype).max)).astype(np.float32)
    if dtype.itemsize == 1:
        return to_8_bits(pixels)
    return (pixels * np.uint16(257)).astype(np.uint16) if pixels.dtype == np.uint8 else np.rint(pixels * 65535)


def _suiting(pixels: Array) -> str:
    deep = pixels.dtype != np.uint8
    if pixels.ndim == 2:
        return "gray16le" if deep else "gray"
    return "rgb48le" if deep else "rgb24"


def parse_pixel(name: str) -> str:
    """A name of `LAYOUTS`.

    Raises:
        UsageError: If it is none.
    """
    if name not in LAYOUTS:
        raise UsageError(f"pixel format {name!r} is unknown; choose one of {', '.join(LAYOUTS)}")
    return name
