"""Colour that means temperature: hue from the infrared value alone, brightness from the fused picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cmmdl.errors import UsageError
from cmmdl.files.colour import with_luma
from cmmdl.files.palettes import Table

Floats = NDArray[np.float32]

MIDDLE = 0.5
"""Luma of the legend's colours."""

CAPTION = "colour only - measure in the temperature file"
_SYMBOLS = {"C": "°C", "F": "°F", "K": "K", "": ""}


@dataclass(frozen=True)
class Alarm:
    """Which values are painted.

    Attributes:
        low: Lowest one, −∞ for all below ``high``.
        high: Highest one.
    """

    low: float
    high: float

    def holds(self, values: Floats) -> NDArray[np.bool_]:
        """Where the values lie inside; not where there is none."""
        return (values >= self.low) & (values <= self.high)


def parse_alarm(text: str) -> Alarm:
    """``above:60``, ``below:5`` or ``between:36:38``.

    Raises:
        UsageError: If it is none of these, or is upside down.
    """
    kind, *numbers = text.split(":")
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        values = []
    if not all(np.isfinite(values)) or len(values) != {"above": 1, "below": 1, "between": 2}.get(kind, -1):
        raise UsageError(f"--alarm {text!r} is not above:T, below:T or between:T:T, such as between:36:38")
    if kind == "between" and not values[0] < values[1]:
        raise UsageError(
            f"--alarm {text} has its values the wrong way round; give the lower value first: "
            f"between:{values[1]:g}:{values[0]:g}"
        )
    return {
        "above": lambda: Alarm(values[0], np.inf),
        "below": lambda: Alarm(-np.inf, values[0]),
        "between": lambda: Alarm(values[0], values[1]),
    }[kind]()


def colours_of(share: Floats, table: Table) -> Floats:
    """The palette's colours ``(3, H, W)`` in [0, 1] of values ``(H, W)`` that run from 0 (cold) to 1 (hot)."""
    where = np.clip(share, 0, 1) * (len(table) - 1)
    steps = np.arange(len(table))
    return np.stack([np.interp(where, steps, table[:, channel] / 255.0) for channel in range(3)]).astype(np.float32)


def paint(
    luma: Floats, share: Floats, table: Table, *, over: Floats | None = None, where: Floats | None = None
) -> Floats:
    """Paints a fused picture.

    Args:
        luma: ``(H, W)`` of the fused picture, in [0, 1]; that of the result.
        share: ``(H, W)`` infrared values from 0 (cold) to 1 (hot); NaN where there is none.
        table: The palette.
        over: ``(3, H, W)`` colours in [0, 1] that stay where nothing is painted; grey by default.
        where: ``(H, W)`` how much is painted, in [0, 1]; all by default.

    Returns:
        ``(3, H, W)`` RGB in [0, 1]. Hue is the palette's, and so is saturation as far as the luma leaves room for it.
    """
    known = np.isfinite(share)
    painted = _with(colours_of(np.where(known, share, 0), table), luma)
    plain = np.broadcast_to(luma, painted.shape) if over is None else _with(over, luma)
    weight = known.astype(np.float32) if where is None else where * known
    return plain + weight * (painted - plain)


def _with(colours: Floats, luma: Floats) -> Floats:
    """The colours with another luma: hue kept, saturation lowered where a channel would leave [0, 1]."""
    return np.concatenate(with_luma(colours, luma[None])).clip(0, 1)


def legend(
    height: int, table: Table, low: float, high: float, unit: Literal["C", "F", "K", ""], alarm: Alarm | None = None
) -> NDArray[np.uint8]:
    """A strip to stand beside a painted picture: the colours at middle luma, range and unit.

    Args:
        height: Of the picture, in pixels.
        table: The palette.
        low: Value of the cold end, in ``unit``.
        high: Value of the hot end.
        unit: Of both; empty for infrared values that are no temperatures.
        alarm: Outside which the legend is grey, in ``unit``.

    Returns:
        ``(height, width, 3)`` uint8 RGB.
    """
    size = int(np.clip(height / 26, 9, 40))
    labels = [_label(value, high - low) for value in np.linspace(high, low, 5 if height >= 8 * size else 2)]
    title = _SYMBOLS[unit] or "infrared"
    font = _font(size)
    bar, gap = 2 * size, max(2, size // 2)
    text_width = int(max(font.getlength(text) for text in [*labels, title])) + 1
    image = Image.new("RGB", (bar + text_width + 3 * gap + size, height), (26, 26, 26))
    top, bottom = 2 * size + gap, max(2 * size + gap + 2, height - size)
    image.paste(Image.fromarray(_bar(bottom - top, bar, table, low, high, alarm)), (gap, top))
    draw = ImageDraw.Draw(image)
    draw.text((gap, gap), title, font=font, fill="white")
    for text, y in zip(labels, np.linspace(top, bottom, len(labels)), strict=True):
        draw.text((2 * gap + bar, int(y)), text, font=font, fill="white", anchor="lm")
    _caption(image, size, height)
    return np.asarray(image)


def beside(picture: NDArray[Any], strip: NDArray[np.uint8]) -> NDArray[Any]:
    """A picture ``(H, W, 3)`` of any depth with a legend at its right."""
    scale = {"uint8": 1, "uint16": 257}.get(picture.dtype.name, 1 / 255)
    right = (strip * np.float32(scale)).astype(picture.dtype)
    return np.concatenate([picture, right], axis=1)


def _bar(height: int, width: int, table: Table, low: float, high: float, alarm: Alarm | None) -> NDArray[np.uint8]:
    """The colours from hot at the top to cold."""
    share = np.tile(np.linspace(1, 0, height, dtype=np.float32)[:, None], (1, width))
    values = low + share * (high - low)
    where = None if alarm is None else alarm.holds(values).astype(np.float32)
    painted = paint(np.full_like(share, MIDDLE), share, table, where=where)
    return np.rint(painted.transpose(1, 2, 0) * 255).astype(np.uint8)


def _caption(image: Image.Image, size: int, height: int) -> None:
    """Says along the right edge what the colours are not for; as small as must be, left out where it cannot be read."""
    font = _font(max(8, size - 3))
    while font.getlength(CAPTION) > height - 4 and font.size > 8:
        font = _font(int(font.size) - 1)
    if font.getlength(CAPTION) > height - 4:
        return
    strip = Image.new("RGB", (height, size), (26, 26, 26))
    ImageDraw.Draw(strip).text((height // 2, size // 2), CAPTION, font=font, fill=(170, 170, 170), anchor="mm")
    image.paste(strip.rotate(90, expand=True), (image.width - size, 0))


@lru_cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _label(value: float, span: float) -> str:
    """A value with as many decimals as the span needs."""
    return f"{value:.{0 if abs(span) >= 100 else 1 if abs(span) >= 2 else 2}f}"
