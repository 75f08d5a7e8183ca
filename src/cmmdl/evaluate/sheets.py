"""Contact sheets: a row a scene, a column a method, to be looked at rather than scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cmmdl.errors import UnusableError, UsageError, UserError
from cmmdl.evaluate.scenes import Exclusion, Scene
from cmmdl.files.images import Array
from cmmdl.files.levels import to_8_bits
from cmmdl.files.ranges import BY_TYPE, RangeRule, read_levels, read_result

Pixels = NDArray[np.uint8]
"""``(H, W, 3)`` uint8."""

MAX_SIDE = 30_000
"""Pixels; higher or wider sheets are refused, since few programs open them."""

GAP = 4
PAPER = (255, 255, 255)
INK = (20, 20, 20)
MARK = (255, 60, 60)


@dataclass(frozen=True)
class Crop:
    """A part of a picture: left, top, width and height in pixels, or in parts of the picture if none is above 1."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def parse(cls, text: str) -> Crop:
        """``x,y,w,h``.

        Raises:
            UserError: If it is something else, or empty.
        """
        try:
            box = cls(*(float(number) for number in text.split(",")))
        except (ValueError, TypeError):
            raise UsageError(f"{text!r} is not x,y,w,h; give four numbers, such as 200,100,160,120") from None
        if not (min(box.x, box.y) >= 0 and min(box.width, box.height) > 0):
            raise UsageError(f"{text!r} is empty or starts outside the picture; give x,y,w,h with w and h above 0")
        return box

    def pixels(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in a picture of that size.

        Raises:
            UserError: If it does not lie in the picture.
        """
        part = max(self.x, self.y, self.width, self.height) <= 1
        across, down = (width, height) if part else (1, 1)
        left, top = round(self.x * across), round(self.y * down)
        right, bottom = round((self.x + self.width) * across), round((self.y + self.height) * down)
        right, bottom = max(right, left + 1), max(bottom, top + 1)
        if right > width or bottom > height:
            given = f"{self.x:g},{self.y:g},{self.width:g},{self.height:g}"
            raise UserError(
                f"the part {given} does not fit into {width}x{height}; give fractions, such as 0.4,0.3,0.2,0.2"
            )
        return left, top, right, bottom


@dataclass(frozen=True)
class Style:
    """How a sheet looks.

    Attributes:
        width: Of a column in pixels; ``None`` shows pictures in their own size.
        crop: Show this part only.
        inset: Frame this part and show it enlarged in a corner.
    """

    width: int | None = 320
    crop: Crop | None = None
    inset: Crop | None = None


@dataclass(frozen=True)
class SheetRow:
    """One scene, ready to be laid out.

    Attributes:
        label: Its stem.
        cells: One picture a column, all of one size.
    """

    label: str
    cells: tuple[Image.Image, ...]


def gather(
    scene: Scene,
    fuse: Mapping[str, Callable[[Path, Path], Array]],
    columns: Sequence[str],
    style: Style,
    ranges: tuple[RangeRule, RangeRule] = (BY_TYPE, BY_TYPE),
) -> SheetRow:
    """Reads, fuses and scales the pictures of one scene.

    Args:
        scene: Its files.
        fuse: Column -> what fuses two files to an array.
        columns: Which of ``fuse`` and of the scene's fused files are shown, in order, after both sources.
        style: Its parts and size.
        ranges: Which values of the infrared and of the visible picture mean black and white.

    Raises:
        UserError: If a picture cannot be read or fused, has another size, or a part does not lie in it.
    """
    pictures = [in_colour(read_levels(scene.ir, ranges[0], "ir")), in_colour(read_levels(scene.vis, ranges[1], "vis"))]
    for column in columns:
        if column in fuse:
            pictures.append(shown(fuse[column](scene.ir, scene.vis), column))
        else:
            pictures.append(in_colour(read_result(scene.fused[column])))
    for name, picture in zip(("infrared", "visible", *columns), pictures, strict=True):
        if picture.shape != pictures[1].shape:
            sizes = [f"{one.shape[1]}x{one.shape[0]}" for one in (picture, pictures[1])]
            raise UserError(
                f"{name} is {sizes[0]}, visible is {sizes[1]}; all pictures of a row must have the same size"
            )
    return SheetRow(scene.name, tuple(cell(picture, style) for picture in pictures))


def shown(array: Array, name: str) -> Pixels:
    """Any picture as 8-bit RGB: 16 bits are divided by 257, floats in [0, 1] multiplied by 255.

    Raises:
        UserError: If floats lie outside of [0, 1].
    """
    try:
        pixels = to_8_bits(array)
    except UserError as error:
        raise UnusableError(f"{name}: {error}") from error
    return in_colour(pixels)


def in_colour(levels: Pixels) -> Pixels:
    """8 bits as RGB."""
    return np.repeat(levels[..., None], 3, axis=2) if levels.ndim == 2 else levels


def cell(picture: Pixels, style: Style) -> Image.Image:
    """One picture as it is shown: cropped, scaled to the column's width, with its inset.

    Raises:
        UserError: If a part does not lie in the picture.
    """
    image = Image.fromarray(picture)
    if style.crop:
        image = image.crop(style.crop.pixels(*image.size))
    box = style.inset.pixels(*image.size) if style.inset else None
    scale = style.width / image.width if style.width else 1.0
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    result = image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)
    if box:
        _draw_inset(result, image, box, scale)
    return result


def _draw_inset(result: Image.Image, image: Image.Image, box: tuple[int, int, int, int], scale: float) -> None:
    """Frames a part and shows it enlarged, at up to two fifths of the sides, in the corner farthest from it."""
    left, top, right, bottom = box
    zoom = min(0.4 * result.width / (right - left), 0.4 * result.height / (bottom - top))
    size = (max(1, round((right - left) * zoom)), max(1, round((bottom - top) * zoom)))
    x = 0 if left + right > image.width else result.width - size[0]
    y = 0 if top + bottom > image.height else result.height - size[1]
    line = max(1, result.width // 250)
    draw = ImageDraw.Draw(result)
    draw.rectangle([left * scale, top * scale, right * scale - 1, bottom * scale - 1], outline=MARK, width=line)
    method = Image.Resampling.NEAREST if zoom >= 4 else Image.Resampling.LANCZOS
    result.paste(image.crop(box).resize(size, method), (x, y))
    draw.rectangle([x, y, x + size[0] - 1, y + size[1] - 1], outline=MARK, width=line)


def lay_out(rows: Sequence[SheetRow], columns: Sequence[str], title: str) -> Pixels:
    """Draws the sheet: a title bar, column names, and a row of pictures a scene with its name at the left.

    Args:
        rows: At least one.
        columns: Names of all columns, both sources included.
        title: One line; may be empty.

    Raises:
        UserError: If the sheet would be higher or wider than `MAX_SIDE`.
    """
    widths = [max(row.cells[column].width for row in rows) for column in range(len(columns))]
    font = _font(min(max(13, min(widths) // 17), 36))
    line = round(font.size * 1.6)
    margin = min(max(_width(font, row.label) for row in rows), max(60, min(widths) // 2)) + 4 * GAP
    head = line * (2 if title else 1)
    width = margin + sum(widths) + GAP * len(widths)
    height = head + sum(row.cells[0].height + GAP for row in rows)
    check_size(width, height)
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((2 * GAP, line // 2), _fitted(font, title, width - 4 * GAP), INK, font, anchor="lm")
    lefts = [margin + sum(widths[:column]) + GAP * column for column in range(len(columns))]
    for left, name, across in zip(lefts, columns, widths, strict=True):
        draw.text((left + across // 2, head - line // 2), _fitted(font, name, across), INK, font, anchor="mm")
    top = head
    for row in rows:
        label = _fitted(font, row.label, margin - 4 * GAP)
        draw.text((2 * GAP, top + row.cells[0].height // 2), label, INK, font, anchor="lm")
        for left, across, image in zip(lefts, widths, row.cells, strict=True):
            sheet.paste(image, (left + (across - image.width) // 2, top))
        top += row.cells[0].height + GAP
    return np.asarray(sheet)


def check_size(width: int, height: int) -> None:
    """Refuses sheets that few programs open.

    Raises:
        UserError: If a side is above `MAX_SIDE`.
    """
    if max(width, height) > MAX_SIDE:
        raise UserError(
            f"a sheet of {width}x{height} is above {MAX_SIDE} pixels a side; take fewer pairs (--count) or smaller "
            "pictures (--width)"
        )


def expected_size(scenes: Iterable[Scene], columns: int, style: Style) -> tuple[int, int]:
    """About how wide and high the sheet will be, from the headers of the visible pictures that have one."""
    width, height = 0, 0
    for scene in scenes:
        try:
            with Image.open(scene.vis) as image:
                size = image.size
            box = style.crop.pixels(*size) if style.crop else (0, 0, *size)
        except (OSError, ValueError, Image.DecompressionBombError):
            continue
        across, down = box[2] - box[0], box[3] - box[1]
        scale = style.width / across if style.width else 1.0
        width, height = max(width, round(columns * across * scale)), height + round(down * scale)
    return width, height


def choose(scenes: Sequence[Scene], *, stems: Sequence[str] = (), count: int | None = None) -> list[Scene]:
    """Some scenes: those named, in that order, or ``count`` spread evenly over all.

    Raises:
        UserError: If a stem is not there.
    """
    if stems:
        known = {scene.name: scene for scene in scenes}
        missing = [stem for stem in stems if stem not in known]
        if missing:
            few = ", ".join(list(known)[:8])
            more = ", ..." if len(known) > 8 else ""
            raise UserError(f"there is no pair {missing[0]!r} in all folders; there are {few}{more}")
        return [known[stem] for stem in stems]
    if count is None or count >= len(scenes):
        return list(scenes)
    steps = np.linspace(0, len(scenes) - 1, count).round().astype(int)
    return [scenes[step] for step in steps]


def concerns(excluded: Iterable[Exclusion], stems: Sequence[str]) -> list[Exclusion]:
    """The exclusions that matter where only some stems were asked for."""
    return [one for one in excluded if not stems or one.picture in stems]


def _fitted(font: ImageFont.FreeTypeFont, text: str, width: int) -> str:
    """The text, with its middle left out if it is too long."""
    if _width(font, text) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        short = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
        if _width(font, short) <= width:
            return short
    return "…"


def _width(font: ImageFont.FreeTypeFont, text: str) -> int:
    return int(np.ceil(font.getlength(text)))


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font; without FreeType it has one size only."""
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise UserError(
            "this Pillow was built without FreeType and cannot write labels; pip install --force-reinstall pillow"
        )
    return font
