"""Which reader opens which clip."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from cmmdl.errors import UnusableError, UsageError, UserError
from cmmdl.files.images import IMAGE_SUFFIXES, MAX_PIXELS, Note
from cmmdl.files.video.clip import Clip
from cmmdl.files.video.decoding import DecodedClip, is_device
from cmmdl.files.video.raw import RawFrames, is_piped
from cmmdl.files.video.sequences import PATTERN, NumberedPictures, Pages, numbered, page_count

VIDEO_SUFFIXES = [
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".ts",
    ".mts",
    ".m2ts",
    ".mpg",
    ".mpeg",
    ".wmv",
    ".asf",
    ".flv",
    ".3gp",
    ".ogv",
    ".mxf",
    ".nut",
    ".y4m",
    ".gif",
    ".h264",
    ".h265",
    ".hevc",
    ".264",
    ".265",
    ".mjpeg",
    ".mjpg",
    ".vob",
    ".seq",
]
"""Of files that are taken for clips."""


@dataclass(frozen=True)
class RawInput:
    """How frames on standard input are read, and how many a second pictures are.

    Attributes:
        size: Width and height of raw frames.
        pixel: Their format, a name of `cmmdl.files.video.raw.LAYOUTS`; None if a container is piped.
        rate: Frames a second of raw frames, numbered pictures and pages.
        vis_rate: The same of the visible side, where it differs.
    """

    size: tuple[int, int] | None = None
    pixel: str | None = None
    rate: Fraction | None = None
    vis_rate: Fraction | None = None

    def of_vis(self) -> RawInput:
        """How the visible side is read."""
        return replace(self, rate=self.vis_rate or self.rate)


def is_clip(source: str | Path) -> bool:
    """Whether a source is a clip by its name: an address, a camera, a pipe, a numbered pattern, a video suffix."""
    text, path = str(source), Path(source)
    if text == "-" or "://" in text or is_device(text) or PATTERN.search(path.name):
        return True
    return path.suffix.lower() in VIDEO_SUFFIXES or is_piped(text)


def is_recording(source: str | Path) -> bool:
    """Whether a source is a clip, TIFF files of several pages included."""
    return is_clip(source) or page_count(Path(source)) > 1


def open_pair(
    ir: str, vis: str, raw: RawInput, *, ir_colour: bool = False, max_pixels: int = MAX_PIXELS, note: Note
) -> tuple[Clip, Clip]:
    """Opens both sides at once, since of two network streams the second may wait for the first.

    Args:
        ir: The infrared clip.
        vis: The visible clip.
        raw: How standard input is read.
        ir_colour: Whether the colour of the infrared clip is wanted; else its luma as it is stored.
        max_pixels: Largest frame that is read.
        note: Called with a line about anything worth knowing.

    Raises:
        UserError: If one cannot be opened, or is a still picture.
    """
    if ir == vis == "-":
        raise UsageError("standard input can be one side only; give a file or an address for the other")
    first = min((min(numbered(side)) for side in (ir, vis) if _is_pattern(side)), default=None)
    first = first if _is_pattern(ir) and _is_pattern(vis) else None
    opened: list[Clip] = []
    with ThreadPoolExecutor(2) as pool:
        sides = [
            pool.submit(_open, side, own, colour=colour, first=first, max_pixels=max_pixels, note=note)
            for side, own, colour in ((ir, raw, ir_colour), (vis, raw.of_vis(), True))
        ]
    try:
        opened = [side.result() for side in sides]
    except UserError:
        for side in sides:
            if side.exception() is None:
                side.result().close()
        raise
    for clip in opened:
        _check_size(clip, max_pixels)
    return opened[0], opened[1]


def open_clip(source: str, raw: RawInput | None = None, *, colour: bool = True, note: Note) -> Clip:
    """Opens one clip.

    Args:
        source: A path, pattern, address, camera or ``-``.
        raw: How standard input is read.
        colour: Whether colour is wanted; else luma as it is stored.
        note: Called with a line about anything worth knowing.

    Raises:
        UserError: If it cannot be opened, or is a still picture.
    """
    return _open(source, raw or RawInput(), colour=colour, first=None, max_pixels=MAX_PIXELS, note=note)


def _open(source: str, raw: RawInput, *, colour: bool, first: int | None, max_pixels: int, note: Note) -> Clip:
    if source == "-" and raw.pixel:
        if raw.size is None:
            raise UsageError("raw frames on standard input need their size: --size 640x480")
        return RawFrames(*raw.size, raw.pixel, rate=raw.rate)
    if _is_pattern(source):
        return NumberedPictures(source, rate=raw.rate, first=first, max_pixels=max_pixels, note=note)
    suffix = Path(source).suffix.lower()
    if suffix in (".tif", ".tiff") and page_count(Path(source)) > 1:
        return Pages(source, rate=raw.rate, max_pixels=max_pixels, note=note)
    if suffix in IMAGE_SUFFIXES and "://" not in source and Path(source).is_file():
        raise UnusableError(f"{source} is a single picture, not a clip; give two clips, or two pictures")
    return DecodedClip(source, colour=colour, note=note)


def _is_pattern(source: str) -> bool:
    return "://" not in source and PATTERN.search(Path(source).name) is not None


def _check_size(clip: Clip, max_pixels: int) -> None:
    facts = clip.facts
    if facts.height * facts.width > max_pixels:
        raise UnusableError(
            f"{facts.name}: frames of {facts.width}x{facts.height} are above the limit of {max_pixels / 1e6:.1f} "
            f"megapixels; pass --max-pixels {facts.height * facts.width}"
        )
