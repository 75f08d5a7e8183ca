"""Scoring clips: the metrics of their frames, and how steady they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmmdl.errors import UnusableError, UserError
from cmmdl.evaluate.result import Evaluation, collect
from cmmdl.evaluate.scoring import stretch_levels
from cmmdl.evaluate.steadiness import PRESET, Steadily, Steadiness
from cmmdl.files.colour import BLUE, GREEN, RED
from cmmdl.files.images import Note
from cmmdl.files.pictures import to_picture
from cmmdl.files.ranges import Given
from cmmdl.files.video.clip import Clip, Facts, Frame
from cmmdl.files.video.opening import RawInput, open_clip, open_pair
from cmmdl.fusion.cliprange import fixed_range
from cmmdl.fusion.timing import FramePair, Pairing
from cmmdl.metrics import METRICS, chosen, score

SCORED, WARPED = 24, 240
"""About so many frames are scored, and so many pairs of neighbours compared, unless it is asked otherwise."""

Levels = NDArray[np.uint8]


@dataclass(frozen=True)
class ClipEvaluation:
    """Scores of fused clips of one scene.

    Attributes:
        scores: The metrics of every Nth frame; its pictures are named by their times.
        steadiness: Of each method, and of ``ir`` and ``vis``; a method of such a name is ``ir (fused)`` there.
        frames: How many there were.
        every: N of the metrics.
        warped_every: N of the warping error.
        sure: Share of the pixels that counted for the warping error.
    """

    scores: Evaluation
    steadiness: dict[str, Steadiness]
    frames: int
    every: int
    warped_every: int
    sure: float


@dataclass(frozen=True)
class _Moment:
    """The pictures of one moment as 8-bit levels."""

    time: Fraction
    ir: Levels
    vis: Levels
    fused: dict[str, Levels]


def evaluate_clips(
    methods: Mapping[str, str],
    ir: str,
    vis: str,
    *,
    convention: str = "cmmdl",
    metrics: Sequence[str] | None = None,
    stretch: bool = False,
    every: int | None = None,
    offset: float = 0.0,
    rate: tuple[Fraction, Fraction] | None = None,
    ir_range: Given = "auto",
    vis_range: Given = None,
    note: Note,
    progress: Callable[[], object] = lambda: None,
) -> ClipEvaluation:
    """Scores fused clips against their sources.

    Frames belong together by their times: the sources as when they are fused, fused frames by the visible ones.

    Args:
        methods: Name → fused clip.
        ir: Infrared clip.
        vis: Visible clip.
        convention: A name of `cmmdl.metrics.CONVENTIONS`.
        metrics: Names of `cmmdl.metrics.METRICS`, in any case; None takes the convention's own.
        stretch: Stretch every fused frame to 0..255 by its own minimum and maximum before the metrics, not before the
            warping error.
        every: Metrics and warping error of every so many frames; None chooses by the length of the clip.
        offset: Seconds by which the infrared clip was started after the visible one.
        rate: Frames a second of numbered pictures and pages: of the infrared clip, and of the others.
        ir_range: Infrared values that mean black and white, for the whole clip.
        vis_range: The same of the visible clip.
        note: Called with a line about anything worth knowing.
        progress: Called after each frame.

    Raises:
        UserError: If a clip cannot be read, sizes differ, or times do not overlap.
    """
    _, names = chosen(convention, metrics)
    with ExitStack() as stack:
        raw = RawInput(None, None, *(rate or ()))
        one, two = open_pair(ir, vis, raw, note=note)
        fused = {name: open_clip(path, raw.of_vis(), note=note) for name, path in methods.items()}
        for clip in (one, two, *fused.values()):
            stack.enter_context(closing(clip))
        ranges = fixed_range(one, ir_range, "ir", note), fixed_range(two, vis_range, "vis", note)
        count = _count(one.facts, two.facts)
        nth, warped = every or max(1, round(count / SCORED)), every or max(1, round(count / WARPED))
        steadily, scored = Steadily(warped), dict[str, dict[str, dict[str, float]]]()
        pairing = Pairing(one.frames(), two.frames(), (one.facts, two.facts), offset)
        total = 0
        for total, moment in enumerate(_moments(pairing, fused, ranges, note), 1):
            steadily.add({"ir": _luma(moment.ir), "vis": _luma(moment.vis)} | _rows(moment.fused))
            if (total - 1) % nth == 0:
                scored[f"{float(moment.time):.3f}"] = _scores(moment, convention, names, stretch=stretch)
            progress()
        pairing.tell(note, "scored")
    if not scored:
        raise UserError("no fused frame lies where both sources run; check that the clips belong together")
    result = Evaluation(
        convention=convention,
        stretch=stretch,
        metrics=tuple(names),
        higher=tuple(METRICS[metric].direction == "higher" for metric in names),
        methods=tuple(methods),
        pictures=tuple(scored),
        scores=collect(scored, list(methods), names),
        excluded=(),
    )
    return ClipEvaluation(result, steadily.result(), total, nth, warped, steadily.share)


def steadiness_table(found: ClipEvaluation) -> list[tuple[str, ...]]:
    """The rows of a table: how steady each clip is, head first."""
    head = ("clip", "warping error", "/ SF", "SF", "luma step")
    rows = [
        (name, *(f"{value:.4g}" for value in (one.warping_error, one.relative_error, one.detail, one.luma_step)))
        for name, one in found.steadiness.items()
    ]
    return [head, *rows]


def caption(found: ClipEvaluation) -> str:
    """What the numbers mean, in one sentence each."""
    return (
        f"{found.frames} frames; metrics of {_nth(found.every)}. Warping error: mean absolute difference of "
        f"{_nth(found.warped_every)} from its neighbours along the sources' optical flow (OpenCV's DIS, preset "
        f"{PRESET}), both directions, over the {found.sure:.0%} of pixels where both sources' flows are sure; grey "
        "levels, lower is steadier; not BiSWE. Luma step: standard deviation of the step of mean luma."
    )


def as_dict(found: ClipEvaluation) -> dict[str, Any]:
    """Everything about steadiness, for JSON; NaN as None."""
    clips = {
        name: {
            key: value if value == value else None
            for key, value in (
                ("warping_error", one.warping_error),
                ("warping_error_by_sf", one.relative_error),
                ("sf", one.detail),
                ("luma_step", one.luma_step),
            )
        }
        for name, one in found.steadiness.items()
    }
    settings = {"flow": f"OpenCV DIS, {PRESET}", "frames": found.frames, "metrics_every": found.every}
    return {**settings, "warped_every": found.warped_every, "sure": found.sure, "clips": clips}


def _nth(every: int) -> str:
    if every == 1:
        return "every frame"
    ending = {1: "st", 2: "nd", 3: "rd"}.get(every % 10, "th") if every % 100 not in (11, 12, 13) else "th"
    return f"every {every}{ending} frame"


def _count(ir: Facts, vis: Facts) -> int:
    """Frames there will be, about."""
    if vis.count:
        return vis.count
    return round((vis.seconds or 0) * float(vis.rate or 25))


def _moments(pairing: Pairing, fused: Mapping[str, Clip], ranges: tuple[Given, Given], note: Note) -> Iterator[_Moment]:
    """What belongs together, in 8-bit levels."""
    sources = iter(pairing)
    first = next(sources, None)
    if first is None:
        return
    followed = {name: _Followed(clip, first.vis.time) for name, clip in fused.items()}
    pair: FramePair | None = first
    whole, last = _Unpadded(note), first.vis.time
    while pair is not None:
        frames = {name: follow.at(pair.vis.time) for name, follow in followed.items()}
        if ended := [name for name, follow in followed.items() if follow.ended]:
            pairing.interrupt(f"{ended[0]} ends there", last)
            return
        if all(frame is not None for frame in frames.values()):
            last, vis = pair.vis.time, _levels(pair.vis, pairing.sides[1], "vis", ranges[1])
            levels = {name: _levels(frame, fused[name].facts, "vis", "type") for name, frame in frames.items() if frame}
            yield _Moment(
                last,
                _levels(pair.ir, pairing.sides[0], "ir", ranges[0]),
                vis,
                {name: whole(name, frame, vis) for name, frame in levels.items()},
            )
        pair = next(sources, None)


class _Unpadded:
    """Cuts the row and the column off that codecs of even sides add to odd ones; says so once of each clip."""

    def __init__(self, note: Note) -> None:
        self.note, self.told = note, set[str]()

    def __call__(self, name: str, fused: Levels, vis: Levels) -> Levels:
        (height, width), size = vis.shape[:2], fused.shape[:2]
        if size == (height, width) or size != (height + height % 2, width + width % 2):
            return fused
        if name not in self.told:
            self.note(f"{name} is padded to even sides, {size[1]}x{size[0]}: only {width}x{height} are scored")
        self.told.add(name)
        return np.ascontiguousarray(fused[:height, :width])


class _Followed:
    """A fused clip that is followed by time; its first frame belongs to the first pair of the sources."""

    def __init__(self, clip: Clip, first: Fraction) -> None:
        self.frames, self.shift = iter(clip.frames()), first - clip.facts.begins
        self.reach = float(1 / (clip.facts.rate or 25)) / 2
        self.now = next(self.frames, None)
        self.ended = self.now is None

    def at(self, moment: Fraction) -> Frame | None:
        """The frame of that moment; None if there is none within half a frame."""
        while self.now is not None and float(moment - self.now.time - self.shift) > self.reach:
            self.now = next(self.frames, None)
        self.ended = self.now is None
        near = self.now is not None and abs(float(moment - self.now.time - self.shift)) <= self.reach
        return self.now if near else None


def _levels(frame: Frame, facts: Facts, side: Any, given: Given) -> Levels:
    """A frame as 8-bit levels, by its range."""
    if frame.pixels.dtype == np.uint8 and given in ("type", None):
        return frame.pixels
    range_ = (0.0, facts.white) if facts.white and given in ("type", None) else given
    values = to_picture(frame.pixels, name=facts.name, side=side, given=range_, max_pixels=frame.pixels.size).values()
    levels = np.rint(values[0] * 255).astype(np.uint8)
    return levels[0] if len(levels) == 1 else np.ascontiguousarray(levels.transpose(1, 2, 0))


def _luma(levels: Levels) -> Levels:
    return levels if levels.ndim == 2 else np.rint(levels @ np.array([RED, GREEN, BLUE])).astype(np.uint8)


def _rows(pictures: Mapping[str, Levels]) -> dict[str, Levels]:
    """Lumas by the names of their rows, none of which is that of a source."""
    return {f"{name} (fused)" if name in ("ir", "vis") else name: _luma(levels) for name, levels in pictures.items()}


def _scores(moment: _Moment, convention: str, names: list[str], *, stretch: bool) -> dict[str, dict[str, float]]:
    """Method → metric → score of one moment."""
    for name, levels in moment.fused.items():
        if levels.shape[:2] != moment.vis.shape[:2] or moment.ir.shape[:2] != moment.vis.shape[:2]:
            sizes = [f"{x.shape[1]}x{x.shape[0]}" for x in (levels, moment.ir, moment.vis)]
            raise UnusableError(f"{name} is {sizes[0]}, the infrared clip {sizes[1]}, the visible one {sizes[2]}")
    ready = {name: stretch_levels(levels) if stretch else levels for name, levels in moment.fused.items()}
    return {
        name: score(levels, moment.ir, moment.vis, convention=convention, metrics=names)
        for name, levels in ready.items()
    }
