"""What a clip is: frames with the time at which each was taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

from numpy.typing import NDArray

from cmmdl.errors import UserError

DEFAULT_RATE = Fraction(25)
"""Frames a second of pictures that say nothing of time, unless ``--fps`` does."""


@dataclass(frozen=True)
class Frame:
    """One picture of a clip.

    Attributes:
        time: Seconds on the clock of its clip.
        pixels: ``(H, W)`` grey or ``(H, W, 3)`` RGB, the right way up.
        arrived: Reading of `time.monotonic` when it was there, for live sources.
    """

    time: Fraction
    pixels: NDArray[Any]
    arrived: float = 0.0


@dataclass(frozen=True)
class Tags:
    """What a clip says of its pixels, kept for the result.

    Attributes:
        rotation: Degrees counter-clockwise by which stored frames are turned for display: 0, 90, 180 or 270.
        aspect: Width of a pixel divided by its height, None where it is not said.
        colour: The numbers of ITU-T H.273 by name: ``color_range``, ``colorspace``, ``color_primaries``, ``color_trc``.
    """

    rotation: int = 0
    aspect: Fraction | None = None
    colour: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """What is known of a clip before its frames are read.

    Attributes:
        name: How messages call it.
        height: Of the frames, the right way up.
        width: Of the frames.
        white: The value that means white where no range is given; None leaves it to the type.
        rate: Frames a second, about; None where nobody knows.
        time_base: The unit of its timestamps in seconds.
        origin: What was taken off the times in the file, so that they count from its start.
        begins: Time of the first frame.
        count: Frames, None where that is not known.
        seconds: Its length, None where that is not known.
        live: Whether frames are lost if they are not fetched in time.
        piped: Whether it comes through standard input, at the pace of whoever writes there.
        has_sound: Whether sound lies in the same file.
        has_subtitles: Whether subtitles do.
        metadata: What the file says of itself: title, time and place of the recording, ...
        track_metadata: What it says of the track of pictures: language, title, ...
        tags: Kept for the result.
    """

    name: str
    height: int
    width: int
    white: float | None = None
    rate: Fraction | None = None
    time_base: Fraction = Fraction(1, 90000)
    origin: Fraction = Fraction(0)
    begins: Fraction = Fraction(0)
    count: int | None = None
    seconds: float | None = None
    live: bool = False
    piped: bool = False
    has_sound: bool = False
    has_subtitles: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    track_metadata: dict[str, str] = field(default_factory=dict)
    tags: Tags = Tags()


class Clip(Protocol):
    """A source of frames."""

    facts: Facts

    def frames(self) -> Iterator[Frame]:
        """The frames in the order of their times; can be asked for once.

        Raises:
            UserError: If it is damaged or ends before its end.
        """
        ...

    def sample(self, count: int) -> list[NDArray[Any]]:
        """Up to so many frames, spread over the clip where that can be done without reading it all; none are lost."""
        ...

    def close(self) -> None:
        """Lets go of the file or device."""
        ...


def import_av() -> Any:
    """The module of PyAV, silent from then on.

    Raises:
        UserError: If it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise UserError("video needs PyAV: pip install 'cmmdl[video]'") from error
    av.logging.set_level(None)
    return av
