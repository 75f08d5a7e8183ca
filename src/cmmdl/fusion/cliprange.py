"""One range and one stretch for a whole clip: what changes from frame to frame flickers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmmdl.errors import UsageError
from cmmdl.files.images import Note
from cmmdl.files.levels import MAXIMA, Range
from cmmdl.files.notes import ResultNote
from cmmdl.files.ranges import Given, RangeRule, Side, found_range, parse_range, span_of, text_of
from cmmdl.files.video.clip import Clip

SAMPLE = 16
"""Frames that are looked at, spread over the clip, or as many as a stream gives at once."""

_VALUES = 2**18
"""Values of each of them that count."""


def fixed_range(clip: Clip, given: Given, side: Side, note: Note) -> Given:
    """What is asked for, as numbers wherever it depends on the frames.

    Args:
        clip: Whose frames are looked at.
        given: As in `cmmdl.files.ranges`.
        side: Whose option messages name.
        note: Told what was found.

    Raises:
        UserError: If the range would be found anew for each frame, or is needed and cannot be found.
    """
    rule = parse_range(given, side)
    if rule.kind == "each":
        raise UsageError(f"--{side}-range each makes a clip flicker; give auto, which is found once for the clip")
    if rule.kind == "numbers":
        return given
    frames = clip.sample(SAMPLE)
    kind = (frames[0].dtype.name, clip.facts.white)
    if kind[0] in ("uint8", "bool") and rule.kind != "percent":
        return (0.0, clip.facts.white) if clip.facts.white else "type"
    if rule.kind in ("type", "default"):
        return (0.0, clip.facts.white) if clip.facts.white else rule
    return _found(frames, kind, rule, side, clip.facts.name, note)


def _found(
    frames: Sequence[NDArray[Any]], kind: tuple[str, float | None], rule: RangeRule, side: Side, name: str, note: Note
) -> Given:
    """The range that the frames span, told with the option that gives it again."""
    values = [frame.reshape(-1)[:: -(-frame.size // _VALUES)] for frame in frames]
    taken = found_range(span_of(values, kind, rule), rule, side, name)
    if taken is None:
        white = kind[1] or (1.0 if "float" in kind[0] else float(MAXIMA[kind[0]]))
        return (0.0, white)
    note(
        ResultNote(
            f"{name}: {text_of(*taken).replace(':', ' to ')} are taken as black and white for the whole clip (from "
            f"{len(frames)} frame{'s' if len(frames) > 1 else ''}); the same again: --{side}-range {text_of(*taken)}"
        )
    )
    return taken


def fixed_levels(lumas: Sequence[NDArray[Any]]) -> Range | None:
    """The least and the greatest value of some fused frames, which a stretch makes black and white.

    Args:
        lumas: Fused, in [0, 1].

    Returns:
        None if all are flat.
    """
    low, high = float(min(np.min(luma) for luma in lumas)), float(max(np.max(luma) for luma in lumas))
    return (low, high) if low < high else None
