"""``cmmdl fuse`` on clips: video files, cameras, streams, numbered pictures and pipes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cmmdl.cli.exit_codes import DONE, INTERRUPTED, TERMINATED
from cmmdl.cli.fuse_ending import say_json
from cmmdl.cli.notes import Notes
from cmmdl.cli.rates import RATES
from cmmdl.errors import UsageError, UserError
from cmmdl.files.notes import ResultNote

if TYPE_CHECKING:
    from cmmdl.files.video.clip import Clip, Facts
    from cmmdl.files.video.codecs import Encoding
    from cmmdl.files.video.opening import RawInput
    from cmmdl.files.video.sinks import Sink
    from cmmdl.fusion.clip import ClipOptions, ClipReport
    from cmmdl.fusion.fuser import Fuser
    from cmmdl.fusion.options import FuseOptions

Command = TypeVar("Command", bound=Callable[..., Any])

CODEC_NAMES = ["h264", "h265", "vp9", "av1", "ffv1"]
PIXEL_NAMES = ["gray", "gray16le", "gray16be", "grayf32le", "rgb24", "bgr24", "rgb48le", "rgba", "bgra"]
ONLY_CLIPS = [
    "offset",
    "fps",
    "size",
    "pixel",
    "out_pixel",
    "codec",
    "quality",
    "bits",
    "steady",
    "duration",
    "no_sound",
]
"""Options that mean nothing for pictures."""

BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"


class _Source(click.ParamType):
    """A path, or an address, whose two slashes a path would lose."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        return value if not isinstance(value, str) or "://" in value else Path(value)


SOURCE = _Source()


class _Size(click.ParamType):
    """Width and height as ``640x480``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        width, _, height = str(value).partition("x")
        if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
            self.fail(f"{value!r} is not a size; give width and height, such as 640x480", param, ctx)
        return int(width), int(height)


def clip_options(command: Command) -> Command:
    """The options for clips."""
    for option in reversed(
        (
            click.option(
                "--offset",
                type=float,
                metavar="SECONDS",
                help="Clips: how much later the infrared one started.",
            ),
            click.option(
                "--steady", is_flag=True, help="Clips: average noise and flicker along the motion, where it is sure."
            ),
            click.option("--codec", type=click.Choice(CODEC_NAMES), help="Clips  [default: h264; vp9 for .webm]"),
            click.option(
                "--quality",
                type=int,
                metavar="CRF",
                help="Clips: constant rate factor, lower is better  [default: h264 20, h265 24, vp9 31, av1 32]",
            ),
            click.option("--bits", type=click.Choice(["8", "10"]), help="Clips: bits a channel  [default: 8]"),
            click.option("--no-sound", is_flag=True, help="Clips: leave the sound of the visible clip out."),
            click.option(
                "--duration",
                type=click.FloatRange(0, min_open=True),
                metavar="SECONDS",
                help="Clips: how much to fuse.",
            ),
            click.option(
                "--fps",
                type=RATES,
                metavar="RATE",
                help="Clips: frames a second of raw frames, numbered pictures and pages; if both sides differ: "
                "9,25 (infrared, visible)  [default: 25]",
            ),
            click.option(
                "--size", type=_Size(), metavar="WxH", help="Clips: size of raw frames on standard input (-)."
            ),
            click.option(
                "--pixel",
                type=click.Choice(PIXEL_NAMES),
                help="Clips: format of raw frames on standard input; without it a container is expected there.",
            ),
            click.option(
                "--out-pixel",
                type=click.Choice(PIXEL_NAMES),
                help="Clips: format of raw frames on standard output (-o -)  [default: as the visible clip]",
            ),
        )
    ):
        command = option(command)
    return command


def wants_clip(ir: Path | str, vis: Path | str, out: Path) -> bool:
    """Whether the arguments mean clips rather than pictures or folders of them."""
    from cmmdl.files.images import IMAGE_SUFFIXES
    from cmmdl.files.video.codecs import CONTAINERS
    from cmmdl.files.video.opening import is_clip, is_recording

    if any(is_clip(side) for side in (ir, vis)) or str(out) == "-" or out.suffix.lower() in CONTAINERS:
        return True
    return out.suffix.lower() not in IMAGE_SUFFIXES and all(is_recording(side) for side in (ir, vis))


ONLY_PICTURES = (
    *(
        "temperature",
        "report",
        "spots",
        "boxes",
        "palette",
        "alarm",
        "unit",
        "split",
        "pip",
        "range_from",
        "shard",
        "ray",
        "workers",
    ),
    *("emissivity", "distance", "reflected", "humidity"),
)
"""Options that clips do not have."""


def check_no_pictures(options: dict[str, Any]) -> None:
    """Refuses options for pictures where there are clips; what would be left undone is not left out in silence.

    Raises:
        UsageError: If one was given.
    """
    given = [name for name in ONLY_PICTURES if options.get(name) not in (None, False, ())]
    given += ["ir_palette"] if options["ir_palette"] not in ("auto", "none") else []
    if given:
        raise UsageError(f"--{given[0].replace('_', '-')} is for pictures, and these are clips; leave it out")
    options.update(ir_palette=None, split=None, pip=None)


def check_no_clip_options(options: dict[str, Any]) -> None:
    """Refuses options for clips where there are none.

    Raises:
        UsageError: If one was given.
    """
    given = [name for name in ONLY_CLIPS if options[name] not in (None, False)]
    if given:
        raise UsageError(f"--{given[0].replace('_', '-')} is for clips, and these are pictures; leave it out")


def fuse_clip(
    ir: Path | str,
    vis: Path | str,
    out: Path,
    options: dict[str, Any],
    fuser: Callable[[Notes], Fuser],
    pair: FuseOptions,
    where: Callable[[Fuser], str],
) -> int:
    """Two clips into a file, a folder or a pipe; returns the exit code.

    Args:
        ir: The infrared clip.
        vis: The visible clip.
        out: A video file, a folder, or ``-``.
        options: Of the command.
        fuser: Makes the fuser.
        pair: What is asked of every pair of frames.
        where: The device and model in words.
    """
    from cmmdl.files.video.decoding import is_live
    from cmmdl.fusion.clip import fuse_clips

    notes = Notes(options["quiet"], options["strict"])
    pair = _checked(ir, vis, out, options, pair)
    if (out.exists() and options["skip_existing"]) and str(out) != "-":
        _say(out, options, f"{out} exists, skipped")
        say_json(options, {"output": str(out), "skipped": True})
        return DONE
    ready = fuser(notes) if any(is_live(str(side)) for side in (ir, vis)) else None  # a camera does not wait
    one, two = _opened(ir, vis, options, pair, notes)
    try:
        sink, made = _sink(out, (one, two), vis, options, notes), ready or fuser(notes)
    except BaseException:
        one.close()
        two.close()
        raise
    with _Progress(one.facts, two.facts, options) as progress:
        report = fuse_clips(made, one, two, sink, _clip_options(options, pair), note=notes, progress=progress)
    if report.count or not report.stopped:
        _say(out, options, f"{sink.name}: {_summary(report)} on {where(made)}")
    say_json(options, _facts(report, sink, where(made), notes))
    if report.stopped:
        done = f"{report.count} frames are in {sink.name}" if report.count else "nothing was written"
        click.echo(f"stopped; {done}", err=True)
        return INTERRUPTED if report.stopped == signal.SIGINT else TERMINATED
    return notes.status()


def _checked(ir: Path | str, vis: Path | str, out: Path, options: dict[str, Any], pair: FuseOptions) -> FuseOptions:
    """What the arguments alone show to be wrong; the depth that the output needs."""
    from dataclasses import replace

    from cmmdl.files.images import IMAGE_SUFFIXES

    to_pipe, to_folder = str(out) == "-", _is_folder(out)
    if out.suffix.lower() in IMAGE_SUFFIXES and not out.is_dir():
        raise UsageError(f"{out} is a single picture; clips go into a video such as fused.mp4, a folder, or - (a pipe)")
    if not to_pipe and out.exists() and any(_same(out, side) for side in (ir, vis)):
        raise UsageError(f"{out} is one of the two inputs; give another name with -o")
    if options["as_json"] and to_pipe:
        raise UsageError("--json and -o - both want standard output; leave out one of them")
    if options["out_pixel"] and not to_pipe:
        raise UsageError("--out-pixel is for raw frames on standard output; give -o -")
    if (to_pipe or to_folder) and any(options[name] is not None for name in ("codec", "quality", "bits")):
        raise UsageError("--codec, --quality and --bits are for video files; give -o such as fused.mp4")
    if to_pipe or to_folder:
        return pair
    encoding = _encoding(options)
    codec = encoding.of(out)
    if codec.quality is not None and pair.depth not in (None, "uint8"):
        raise UsageError(f"{codec.name} has 8 or 10 bits: give --bits 10, or --codec ffv1 for --depth uint16")
    if pair.depth == "float32":
        raise UsageError(
            "a video cannot hold floats; give --depth uint16 with --codec ffv1, or a folder with --format tif"
        )
    if codec.quality is None:
        return pair
    return replace(pair, depth="uint16" if encoding.bits == 10 else "uint8")


def _opened(
    ir: Path | str, vis: Path | str, options: dict[str, Any], pair: FuseOptions, notes: Notes
) -> tuple[Clip, Clip]:
    from cmmdl.files.video.opening import open_pair

    return open_pair(
        str(ir),
        str(vis),
        _raw(options),
        ir_colour=pair.chroma == "ir",
        max_pixels=options["max_pixels"],
        note=notes,
    )


def _raw(options: dict[str, Any]) -> RawInput:
    from cmmdl.files.video.opening import RawInput

    return RawInput(options["size"], options["pixel"], *(options["fps"] or ()))


def _encoding(options: dict[str, Any]) -> Encoding:
    from cmmdl.files.video.codecs import Encoding

    return Encoding(options["codec"], options["quality"], int(options["bits"] or 8))


def _clip_options(options: dict[str, Any], pair: FuseOptions) -> ClipOptions:
    from cmmdl.fusion.clip import ClipOptions

    return ClipOptions(pair, options["offset"] or 0.0, options["steady"], options["duration"])


def _sink(out: Path, sides: tuple[Clip, Clip], vis: Path | str, options: dict[str, Any], notes: Notes) -> Sink:
    """Where frames go."""
    from cmmdl.files.video.raw import RawWriter
    from cmmdl.files.video.sinks import FolderWriter
    from cmmdl.fusion.folder import prepare_folder

    if str(out) == "-":
        return RawWriter(options["out_pixel"], rate=sides[1].facts.rate, told=notes)
    if _is_folder(out):
        if out.is_dir() and any(out.iterdir()) and not options["overwrite"]:
            raise UserError(f"{out} is not empty; pass --overwrite to write frames into it, or give another folder")
        prepare_folder(out)
        return FolderWriter(out, f".{options['suffix'].lower()}", replace=options["overwrite"], note=notes)
    if out.exists() and not options["overwrite"]:
        raise UserError(f"{out} exists; pass --overwrite to replace it or --skip-existing to keep it")
    prepare_folder(out.parent)
    return _video_writer(out, (sides[0].facts, sides[1].facts), vis, options, notes)


def _video_writer(
    out: Path, sides: tuple[Facts, Facts], vis: Path | str, options: dict[str, Any], notes: Notes
) -> Sink:
    """A video file, with what the visible clip has beside pictures."""
    from dataclasses import replace

    from cmmdl.files.video.encoding import VideoWriter
    from cmmdl.fusion.live import on_arrival

    like, tagged = on_arrival(*sides), options["metadata"] != "none"
    if options["metadata"] == "ir":
        like = replace(like, metadata=sides[0].metadata, track_metadata=sides[0].track_metadata)
    sound, subtitles = like.has_sound and not options["no_sound"], like.has_subtitles
    if (sound or subtitles) and not _reads_again(vis, like):
        lost = " and ".join(name for name, there in (("sound", sound), ("subtitles", subtitles)) if there)
        notes(ResultNote(f"{like.name}: {lost} left out, since it can be read only once; add them from a recording"))
        sound = subtitles = False
    return VideoWriter(
        out,
        _encoding(options),
        like,
        sound=str(vis) if sound else None,
        subtitles=str(vis) if subtitles else None,
        tagged=tagged,
        note=notes,
    )


def _reads_again(vis: Path | str, facts: Facts) -> bool:
    """Whether a clip can be opened a second time: no pipe, no camera, no stream."""
    if facts.live or facts.piped:
        return False
    return "://" in str(vis) or Path(vis).is_file()


def _facts(report: ClipReport, sink: Sink, on: str, notes: Notes) -> dict[str, Any]:
    """What became of a run, for ``--json``."""
    told: dict[str, Any] = {"output": sink.name, "frames": report.count, "seconds": report.seconds, "on": on}
    if report.latencies:
        told["latency"] = report.latency
    if report.stopped:
        told["stopped"] = signal.Signals(report.stopped).name
    return {**told, "notes": sorted(notes.said)}


def _is_folder(out: Path) -> bool:
    """Whether frames go into a folder: it is one, or a name without a suffix."""
    return str(out) != "-" and (out.is_dir() or not out.suffix)


def _same(out: Path, side: Path | str) -> bool:
    return isinstance(side, Path) and side.exists() and out.resolve() == side.resolve()


class _Progress:
    """A bar with frames a second and the time that is left; of live sources the latency."""

    def __init__(self, ir: Facts, vis: Facts, options: dict[str, Any]) -> None:
        from tqdm import tqdm

        self.live = ir.live or vis.live
        total = None if self.live else _expected(ir, vis, options)
        self.bar = tqdm(
            total=total,
            unit=" frames",
            bar_format=BAR if total else None,
            disable=options["quiet"] or options["as_json"],
            file=sys.stderr,
        )

    def __call__(self, report: ClipReport) -> None:
        if self.live and report.latencies:
            self.bar.set_postfix_str(f"latency {report.latencies[-1] * 1e3:.0f} ms", refresh=False)
        self.bar.update()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()


def _expected(ir: Facts, vis: Facts, options: dict[str, Any]) -> int | None:
    """How many frames the result will have, about."""
    ends = [side.seconds + offset for side, offset in ((ir, options["offset"] or 0), (vis, 0)) if side.seconds]
    if not ends or vis.rate is None:
        return vis.count
    seconds = min(min(ends), options["duration"] or float("inf"))
    count = round(seconds * float(vis.rate))
    return min(count, vis.count) if vis.count else max(count, 1)


def _summary(report: ClipReport) -> str:
    rate = report.count / report.seconds if report.seconds else 0.0
    text = f"{report.count} frames in {report.seconds:.1f} s ({rate:.1f} frames a second)"
    return f"{text}, latency {report.latency * 1e3:.0f} ms" if report.latencies else text


def _say(out: Path, options: dict[str, Any], text: str) -> None:
    if not options["quiet"] and not options["as_json"]:
        click.echo(text, err=str(out) == "-")
