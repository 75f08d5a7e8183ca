"""Which encoder, which container, which pixels: what goes together, and with which defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cmmdl.errors import UsageError, UserError
from cmmdl.files.video.clip import import_av


@dataclass(frozen=True)
class Codec:
    """A way to compress.

    Attributes:
        name: As ``--codec`` calls it.
        encoder: FFmpeg's.
        formats: Pixel format by bits a channel.
        quality: Default constant rate factor; None if it is lossless.
        worst: Largest factor.
        options: Of the encoder, chosen to be fast.
        even: Whether sides must be even.
        tag: Of the track in MP4, where players want a certain one.
    """

    name: str
    encoder: str
    formats: dict[int, str]
    quality: int | None
    worst: int
    options: dict[str, str]
    even: bool = False
    tag: str | None = None


CODECS = {
    codec.name: codec
    for codec in (
        Codec("h264", "libx264", {8: "yuv420p", 10: "yuv420p10le"}, 20, 51, {"preset": "veryfast"}, even=True),
        Codec(
            "h265",
            "libx265",
            {8: "yuv420p", 10: "yuv420p10le"},
            24,
            51,
            {"preset": "veryfast", "x265-params": "log-level=none"},
            even=True,
            tag="hvc1",
        ),
        Codec("vp9", "libvpx-vp9", {8: "yuv420p"}, 31, 63, {"deadline": "realtime", "cpu-used": "6", "row-mt": "1"}),
        Codec("av1", "libsvtav1", {8: "yuv420p", 10: "yuv420p10le"}, 32, 63, {"preset": "9"}, even=True),
        Codec("ffv1", "ffv1", {8: "bgr0", 16: "gbrp16le"}, None, 0, {"level": "3", "slices": "4", "slicecrc": "1"}),
    )
}
"""Every codec by its name; h264 and h265 are GPL encoders, the others are not."""

CONTAINERS = {".mp4": "h264", ".m4v": "h264", ".mov": "h264", ".mkv": "h264", ".webm": "vp9"}
"""Suffixes that can be written, and the codec that is taken for each."""

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""FFmpeg's name of each; its own for .m4v is an iPod of 2005."""

GREY = {8: "gray", 16: "gray16le"}
"""Pixel formats of grey frames, for lossless codecs."""


@dataclass(frozen=True)
class Encoding:
    """What is asked of a video file.

    Attributes:
        codec: A name of `CODECS`, None for that of the container.
        quality: Constant rate factor, lower is better; None for the codec's default.
        bits: 8 or 10 a channel.

    Raises:
        UsageError: If they do not go together.
    """

    codec: str | None = None
    quality: int | None = None
    bits: int = 8

    def of(self, out: Path) -> Codec:
        """The codec for a file.

        Raises:
            UsageError: If the container, the codec and the rest do not go together.
        """
        suffix = out.suffix.lower()
        if suffix not in CONTAINERS:
            raise UsageError(
                f"{out}: {suffix or 'a name without suffix'} is not a video that can be written; "
                f"use {', '.join(CONTAINERS)}, or a folder for pictures"
            )
        codec = CODECS[self.codec or CONTAINERS[suffix]]
        _check_container(out, codec)
        if self.quality is not None and codec.quality is None:
            raise UsageError(f"{codec.name} is lossless; leave out --quality")
        if self.quality is not None and not 0 <= self.quality <= codec.worst:
            raise UsageError(
                f"the quality of {codec.name} runs from 0 (best) to {codec.worst}, its default is {codec.quality}"
            )
        if self.bits == 10 and self.bits not in codec.formats:
            ten = [name for name, other in CODECS.items() if 10 in other.formats]
            raise UsageError(
                f"{codec.name} is written with {' or '.join(map(str, codec.formats))} bits; "
                f"10 bits go into {', '.join(ten)}"
            )
        return codec


def _check_container(out: Path, codec: Codec) -> None:
    """Refuses a codec that the container cannot hold."""
    av = import_av()
    try:
        av.Codec(codec.encoder, "w")
    except ValueError as error:
        raise UserError(f"this build of PyAV cannot write {codec.name}; choose another --codec") from error
    suffix = out.suffix.lower()
    able = [name for name, other in CODECS.items() if _holds(FORMATS[suffix], other)]
    if codec.name not in able:
        holders = [other for other in CONTAINERS if _holds(FORMATS[other], codec)]
        raise UsageError(
            f"{out}: {out.suffix} cannot hold {codec.name}; use {', '.join(holders)}, or --codec "
            f"{' or '.join(sorted(able))}"
        )


def _holds(format_name: str, codec: Codec) -> bool:
    """Whether a container takes a codec, by what players read rather than by what FFmpeg can force in."""
    if format_name == "webm":
        return codec.name in ("vp9", "av1")
    if format_name == "matroska":
        return True
    return codec.name != "ffv1" and (format_name == "mp4" or codec.name in ("h264", "h265"))
