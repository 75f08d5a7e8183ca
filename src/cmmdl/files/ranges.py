"""Which values mean black and white: as asked, found in the pictures, or by their type.

Fusing, scoring, sheets, checks and training all ask here, so that one option means the same everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmmdl.errors import UnusableError, UsageError, UserError
from cmmdl.files.arrays import Pixels, astype, dtype_name, is_float, to_numpy
from cmmdl.files.filepicture import MAX_PIXELS
from cmmdl.files.kinds import is_8_bit
from cmmdl.files.levels import MAXIMA, Range, to_levels
from cmmdl.files.reading import read_picture

Given: TypeAlias = "Range | str | RangeRule | None"
"""``(7000, 8500)``, ``"7000:8500"``, ``"1%:99%"``, ``"auto"``, ``"each"``, ``"type"``, or nothing: the type's, with a
note where the picture hardly uses it."""

Side = Literal["ir", "vis"]

FILES = 64
"""At most so many pictures of a folder are read to find their range."""

_SAMPLES = 2**24
"""At most so many values are kept for it."""

_PERCENTS = (0.1, 99.9)
_SENSOR_MAXIMA = (1023, 4095, 16383)
_AS_THEY_ARE = ("uint8", "bool")

Type = tuple[str, float | None]
"""The type of a picture's values, and the white that its file declares."""


@dataclass(frozen=True)
class RangeRule:
    """How the values that mean black and white are found.

    Attributes:
        kind: ``numbers`` are given; ``percent`` and ``auto`` come from the pictures, ``each`` from each of them;
            ``type`` is the type's range; ``default`` too, with a note where the values hardly use it.
        low: The value or percentage that is black.
        high: The value or percentage that is white.
        found: What was found for each type of picture in a whole run; None is the type's.
    """

    kind: Literal["numbers", "percent", "auto", "each", "type", "default"]
    low: float = _PERCENTS[0]
    high: float = _PERCENTS[1]
    found: tuple[tuple[Type, Range | None], ...] = ()

    def describe(self) -> str:
        """The option's text, with what was found: equal rules have equal texts."""
        if self.found:
            return ", ".join(text_of(*values) if values else "type" for _, values in sorted(self.found, key=str))
        texts = {"numbers": text_of(self.low, self.high), "percent": f"{self.low:g}%:{self.high:g}%", "default": "type"}
        return texts.get(self.kind, self.kind)


BY_TYPE = RangeRule("type")
"""Black is 0 and white the type's maximum, or 1."""


@dataclass(frozen=True)
class Span:
    """What the values of some pictures of one type span: between two percentages, and in all."""

    type: Type
    low: float
    high: float
    minimum: float
    maximum: float

    @property
    def white(self) -> float | None:
        """As declared, or of the type; None where there is no agreed one. Of floats it is 1."""
        name, declared = self.type
        return declared or (1.0 if "float" in name else MAXIMA.get(name))

    @property
    def leaves(self) -> bool:
        """Whether values lie outside what the type means by black and white."""
        margin = 1e-6 if "float" in self.type[0] else 0.0
        return self.white is None or self.minimum < -margin or self.maximum > self.white + margin


def parse_range(given: Given, side: Side) -> RangeRule:
    """What was asked for.

    Raises:
        UsageError: If it is none of these, or the lower value does not come first.
    """
    if given is None or isinstance(given, RangeRule):
        return given or RangeRule("default")
    if isinstance(given, str):
        if given in ("auto", "each", "type"):
            return RangeRule(given)  # type: ignore[arg-type]
        match = re.fullmatch(r"([^:%]+)(%?):([^:%]+)\2", given)
        numbers, percent = (match[1], match[3]) if match else (), match and match[2]
    else:
        numbers, percent = given, ""
    try:
        low, high = (float(number) for number in numbers)
    except (TypeError, ValueError):
        raise UsageError(_none_of_these(given, side)) from None
    if not np.isfinite([low, high]).all() or (percent and not 0 <= min(low, high) <= max(low, high) <= 100):
        raise UsageError(_none_of_these(given, side))
    if low >= high:
        raise UsageError(f"--{side}-range: the range {low:g} to {high:g} is empty; give the lower value first")
    return RangeRule("percent" if percent else "numbers", low, high)


def _none_of_these(given: object, side: Side) -> str:
    return f"--{side}-range {given} is not LOW:HIGH, LOW%:HIGH%, auto, each or type; give for example 7000:8500"


def range_of(
    pixels: Pixels, white: float | None, rule: RangeRule, *, side: Side, name: str
) -> tuple[Range, dict[str, str]]:
    """The values of a picture that mean black and white, and what is to be said about them, one line a kind.

    Args:
        pixels: Of any shape, numpy or tensor; all of them share the range.
        white: What its file declares.
        rule: How the range is found.
        side: Whose option messages name.
        name: How messages call the picture.

    Raises:
        UnusableError: If it needs a range and has none; the message names the option.
    """
    kind = (dtype_name(pixels), white)
    if rule.kind == "numbers":
        return (rule.low, rule.high), _outside(pixels, (rule.low, rule.high), name)
    if rule.kind == "percent" or (rule.kind in ("auto", "each") and kind[0] not in _AS_THEY_ARE):
        known = dict(rule.found)
        if kind in known:
            taken = known[kind]
            return (taken, _outside(pixels, taken, name)) if taken else _by_type(pixels, kind, rule, side, name)
        if rule.found:
            rule = RangeRule("default")
        else:
            taken = found_range(span_of([_values(pixels)], kind, rule), rule, side, name)
            return (taken, {}) if taken else _by_type(pixels, kind, rule, side, name)
    return _by_type(pixels, kind, rule, side, name)


def settled(
    given: Given, paths: Sequence[Path], side: Side, *, max_pixels: int = MAX_PIXELS
) -> tuple[RangeRule, list[str]]:
    """One rule for all pictures of a side, and notes on what was found.

    ``auto`` and percentages are taken over all the pictures together, at most `FILES` of them, evenly spaced in
    the order given. Pictures that cannot be read are passed over: whoever reads them next will say so.

    Raises:
        UserError: If a range is needed and cannot be found.
    """
    rule = parse_range(given, side)
    if rule.found or rule.kind in ("numbers", "each", "type"):
        return rule, []
    chosen = [paths[number] for number in sampled(len(paths))]
    spans = _spans(chosen, rule, max_pixels)
    if rule.kind == "default":
        return rule, [line for span in spans for line in _narrow(span, side, _several(side, chosen)).values()]
    found = [(span.type, found_range(span, rule, side, _several(side, chosen))) for span in spans]
    notes = [_found_note(span, taken, side, chosen) for span, (_, taken) in zip(spans, found, strict=True) if taken]
    return replace(rule, found=tuple(found) or (((_AS_THEY_ARE[0], None), None),)), notes


def sampled(count: int) -> list[int]:
    """Which of so many pictures are read to find their range: at most `FILES`, evenly spaced."""
    chosen = min(FILES, count)
    return [number * count // chosen for number in range(chosen)]


def read_levels(path: Path, rule: RangeRule, side: Side) -> NDArray[np.uint8]:
    """The 8-bit levels of a picture file: black is 0 and white 255, rounded; 8-bit files as they are.

    Raises:
        UserError: If it cannot be read, or needs a range.
    """
    picture = read_picture(path)
    (low, high), _ = range_of(picture.array, picture.white, rule, side=side, name=str(path))
    return to_levels(picture.array, low, high)


def read_result(path: Path) -> NDArray[np.uint8]:
    """The 8-bit levels of a fused picture, whose values are those of its type."""
    return read_levels(path, BY_TYPE, "vis")


def found_range(span: Span, rule: RangeRule, side: Side, name: str) -> Range | None:
    """What the pictures themselves say; None where the type's range is right.

    ``auto`` acts where the span is below half of what the type has, or values lie outside of that.

    Raises:
        UnusableError: If it would have to act on floats that are all equal.
    """
    white = span.white
    if rule.kind != "percent" and not span.leaves and white and span.high - span.low >= white / 2:
        return None
    low, high = (span.low, span.high) if span.low < span.high else (span.minimum, span.maximum)
    if low < high:
        return low, high
    if not span.leaves and "float" not in span.type[0]:
        return None
    remedy = f"--{side}-range LOW:HIGH, in Python {side}_range=(LOW, HIGH)"
    raise UnusableError(f"{name} has the value {_text(low)} everywhere, which spans no range; give one: {remedy}")


def span_of(values: Sequence[NDArray[Any]], kind: Type, rule: RangeRule) -> Span:
    """The span of the values of one or more pictures of one type."""
    pool = np.concatenate(list(values)) if len(values) > 1 else values[0]
    percents = (rule.low, rule.high) if rule.kind == "percent" else _PERCENTS
    low = np.percentile(pool, percents[0], method="lower")
    high = np.percentile(pool, percents[1], method="higher")
    return Span(kind, *(float(_text(value)) for value in (low, high, pool.min(), pool.max())))


def text_of(low: float, high: float) -> str:
    """A range as the option has it: ``7000:8500``."""
    return f"{_text(low)}:{_text(high)}"


def _text(value: Any) -> str:
    """A number in as few digits as tell it from its neighbours."""
    return str(int(value)) if float(value).is_integer() else str(np.float32(value))


def _values(pixels: Pixels, most: int = _SAMPLES) -> NDArray[Any]:
    """At most so many values of a picture, evenly spaced."""
    flat = to_numpy(astype(pixels, "float32") if is_float(pixels) else pixels).reshape(-1)
    return flat[:: -(-flat.size // most)]


def _spans(paths: Sequence[Path], rule: RangeRule, max_pixels: int) -> list[Span]:
    """The span of each type of picture among some files; 8-bit files are left out, except of percentages."""
    pools: dict[Type, list[NDArray[Any]]] = {}
    for path in paths:
        try:
            if rule.kind != "percent" and is_8_bit(path):
                continue
            picture = read_picture(path, max_pixels=max_pixels)
        except (UserError, OSError):
            continue
        kind = (dtype_name(picture.array), picture.white)
        if rule.kind == "percent" or kind[0] not in _AS_THEY_ARE:
            pools.setdefault(kind, []).append(_values(picture.array, _SAMPLES // len(paths)))
    return [span_of(pool, kind, rule) for kind, pool in pools.items()]


def _by_type(pixels: Pixels, kind: Type, rule: RangeRule, side: Side, name: str) -> tuple[Range, dict[str, str]]:
    """Black is 0 and white the type's or the declared maximum."""
    white = Span(kind, 0, 0, 0, 0).white
    if white is None:
        raise UnusableError(f"{name} holds {kind[0]} values, which have no agreed maximum; {_remedy(side)}")
    if kind[0] not in _AS_THEY_ARE and not kind[0].startswith("uint") and _extremes(pixels, kind).leaves:
        low, high = float(pixels.min()), float(pixels.max())
        what = f"{'floats' if is_float(pixels) else f'{kind[0]} values'} from {low:.6g} to {high:.6g}"
        raise UnusableError(f"{name} holds {what}, outside [0, {white:g}]; {_remedy(side, low, high)}")
    if rule.kind != "default" or kind[0] in _AS_THEY_ARE or is_float(pixels):
        return (0.0, white), {}
    return (0.0, white), _narrow(span_of([_values(pixels)], kind, rule), side, name)


def _extremes(pixels: Pixels, kind: Type) -> Span:
    low, high = float(pixels.min()), float(pixels.max())
    return Span(kind, low, high, low, high)


def _narrow(span: Span, side: Side, name: str) -> dict[str, str]:
    """A note where whole numbers above 8 bits use less than an eighth of their range, or end where sensors do."""
    white = span.white
    if white is None or "float" in span.type[0] or white <= 255 or span.minimum == span.maximum:
        return {}
    if span.high - span.low >= white / 8 and not (span.maximum in _SENSOR_MAXIMA and span.maximum < white):
        return {}
    spread = f"{_text(span.minimum)} to {_text(span.maximum)} of 0 to {_text(white)} ({span.type[0]})"
    likely = f"0:{2 ** int(span.maximum).bit_length() - 1}" if side == "vis" and span.minimum >= 0 else "auto"
    options = f'--{side}-range {likely}, in Python {side}_range="{likely}"'
    return {"narrow": f"{name} holds {spread}, so it is taken as dark; if it is not: {options}; if it is: type"}


def _outside(pixels: Pixels, taken: Range, name: str) -> dict[str, str]:
    """A note where more than 1 % of the pixels are clipped."""
    values = pixels if is_float(pixels) else _values(pixels)
    outside = (values < taken[0]) | (values > taken[1])
    share = float(outside.sum()) / int(np.prod(outside.shape))
    if share <= 0.01:
        return {}
    return {"outside": f"{name}: {share:.0%} of its values lie outside the range {text_of(*taken)} and are clipped"}


def _remedy(side: Side, low: float | None = None, high: float | None = None) -> str:
    """The option to give, on the command line and in Python."""
    numbers = "LOW:HIGH" if low is None or high is None else text_of(low, high)
    return f'give its range: --{side}-range {numbers} or auto, in Python {side}_range="{numbers}" or "auto"'


def _several(side: Side, paths: Sequence[Path]) -> str:
    """Some pictures in words."""
    words = {"ir": "the infrared pictures", "vis": "the visible pictures"}
    return str(paths[0]) if len(paths) == 1 else words[side]


def _found_note(span: Span, taken: Range, side: Side, paths: Sequence[Path]) -> str:
    """What was found, with the option to copy."""
    of = "" if span.white is None else f" of 0 to {_text(span.white)}"
    read = f" (from {len(paths)} pictures)" if len(paths) > 1 else ""
    return (
        f"{_several(side, paths)}: {_text(taken[0])} to {_text(taken[1])}{of} ({span.type[0]}) are taken as black and "
        f"white{read}; the same again: --{side}-range {text_of(*taken)}"
    )
