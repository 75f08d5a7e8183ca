"""From the part file to the target: packets copied with their exact times, with sound and subtitles beside them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmmdl.files.images import Note
from cmmdl.files.notes import ResultNote, UndoneNote
from cmmdl.files.video.clip import DEFAULT_RATE, Facts, import_av
from cmmdl.files.video.codecs import FORMATS, Codec
from cmmdl.files.video.matroska import set_aspect
from cmmdl.files.video.tracks import WITH_HANDLERS, Beside, Tracks, kept_tags

if TYPE_CHECKING:
    from cmmdl.files.video.encoding import Stamps

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Errors that leaving out sound does not mend."""

NOT_KEPT = ("major_brand", "minor_version", "compatible_brands", "encoder", "software", "duration", "timecode")
"""What a file says of how it is stored, and not of what it shows."""


@dataclass(frozen=True)
class Picture:
    """The track of pictures.

    Attributes:
        part: Matroska file of this one track.
        stamps: Times and lengths of its packets, in their order and in units of ``time_base``.
        time_base: The unit of the times.
        codec: What the packets are.
        like: The visible clip, for its rate, rotation, pixel aspect and metadata.
    """

    part: Path
    stamps: Stamps
    time_base: Fraction
    codec: Codec
    like: Facts


def copied_to(part: Path, suffix: str) -> Path:
    """Where the target grows; hidden, and removed by the next run after a kill."""
    return part.with_name(f"{part.stem}.to{suffix}")


def turns(like: Facts, out: Path) -> bool:
    """Whether the container is told to turn the frames, as the visible clip does."""
    return bool(like.tags.rotation) and out.suffix.lower() != ".webm"


def stored_aspect(like: Facts, out: Path) -> Fraction | None:
    """Width of a stored pixel divided by its height, None where they are square."""
    aspect = like.tags.aspect
    upright = like.tags.rotation in (90, 270) and not turns(like, out)
    return 1 / aspect if aspect and upright else aspect


def remux(picture: Picture, out: Path, beside: Sequence[Beside], note: Note) -> None:
    """Copies the packets of the part file into the target, which appears when it is whole.

    Pictures may have taken hours: where sound or subtitles cannot be kept, they are left out, with a note.

    Args:
        picture: The pictures.
        out: The target.
        beside: Sound and subtitles.
        note: Called with a line about what was encoded anew or left out.

    Raises:
        OSError: If it cannot be written.
        FFmpegError: Likewise.
    """
    failed: list[str] = []
    for plan in _plans(beside):
        said: list[str] = []
        try:
            _copy(picture, out, plan, said.append)
        except (OSError, ValueError, import_av().FFmpegError) as error:
            if not plan or getattr(error, "errno", None) in NO_ROOM:
                raise
            failed.append(getattr(error, "strerror", None) or str(error))
            continue
        for line in said:
            note(line)
        for lost in beside if failed else ():
            if lost.kind not in {one.kind for one in plan}:
                kind = "sound" if lost.kind == "audio" else "subtitles"
                note(UndoneNote(f"{lost.file}: its {kind} cannot be kept in {out} and is left out ({failed[0]})"))
        return


def _plans(beside: Sequence[Beside]) -> Iterator[Sequence[Beside]]:
    """What is tried, one after the other: all as it is, sound anew, sound alone, nothing beside the pictures."""
    sound = [one for one in beside if one.kind == "audio"]
    anew = [replace(one, anew=True) for one in sound]
    others = [one for one in beside if one.kind != "audio"]
    tried: list[Sequence[Beside]] = []
    for plan in ([*sound, *others], [*anew, *others], sound, anew, []):
        if plan not in tried:
            tried.append(plan)
            yield plan


def _copy(picture: Picture, out: Path, beside: Sequence[Beside], note: Note) -> None:
    """One try."""
    av, suffix = import_av(), out.suffix.lower()
    temporary = copied_to(picture.part, suffix)
    movflags = {"movflags": "+faststart"} if suffix in WITH_HANDLERS else {}
    try:
        with (
            av.open(str(picture.part)) as source,
            av.open(str(temporary), "w", format=FORMATS[suffix], options=movflags) as target,
        ):
            track = source.streams.video[0]
            video = _video(picture, track, target, out)
            others = [Tracks(one, target, suffix, note) for one in beside]
            target.metadata.update(kept_of_file(picture.like.metadata))
            for packet in _stamped(source.demux(track), picture.stamps, video, picture.time_base):
                for other in others:
                    other.until(packet.dts * picture.time_base)
                target.mux_one(packet)
            for other in others:
                other.until(None)
        aspect = stored_aspect(picture.like, out)
        if aspect and suffix not in WITH_HANDLERS and not set_aspect(temporary, aspect):
            note(ResultNote(f"{out}: pixels of {aspect.numerator}:{aspect.denominator} are shown as squares; use .mp4"))
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)


def _video(picture: Picture, track: Any, target: Any, out: Path) -> Any:
    """The track of pictures in the target."""
    like, suffix = picture.like, out.suffix.lower()
    video = target.add_stream_from_template(track, opaque=True)  # its decoder need not be an encoder
    video.time_base = picture.time_base
    video.codec_context.framerate = like.rate or DEFAULT_RATE  # else Matroska shows its unit as the rate
    if aspect := stored_aspect(like, out):
        video.codec_context.sample_aspect_ratio = aspect
    if picture.codec.tag and suffix in WITH_HANDLERS:
        video.codec_context.codec_tag = picture.codec.tag
    if turns(like, out):
        video.set_display_rotation(like.tags.rotation)
    video.metadata.update(kept_tags(like.track_metadata, suffix))
    return video


def kept_of_file(metadata: dict[str, str]) -> dict[str, str]:
    """What a container says of what it shows: title, time and place of the recording, ..."""
    kept = {key: value for key, value in metadata.items() if key.lower() not in NOT_KEPT}
    places = [value for key, value in kept.items() if key.lower() == "com.apple.quicktime.location.iso6709"]
    return {"location": places[0], **kept} if places else kept


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
