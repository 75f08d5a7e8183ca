"""Whether two pictures fit on each other: their sizes, and what their colours say about their order."""

from __future__ import annotations

from cmmdl.errors import UnusableError
from cmmdl.files.arrays import namespace
from cmmdl.files.pictures import Picture, row_slices

COLOURLESS = 4 / 255
"""Channels that differ by no more are grey up to the rounding of JPEG."""


def resized_to_fit(ir: Picture, vis: Picture) -> Picture:
    """The infrared picture in the size of the visible one.

    Raises:
        UnusableError: If it would be stretched to another aspect, by more than 1 % and more than a pixel.
    """
    if not same_aspect(ir.size, vis.size):
        raise UnusableError(f"{_sizes(ir, vis)}: resizing would stretch it; {_reason(ir, vis)}")
    return ir.resized(vis.size)


def check_same_size(ir: Picture, vis: Picture) -> None:
    """Refuses pictures of two sizes, with what helps.

    Raises:
        UnusableError: If sizes or numbers of pictures differ.
    """
    if len(ir.pixels) != len(vis.pixels):
        raise UnusableError(
            f"{ir.name}: a batch of {len(ir.pixels)}, {vis.name}: one of {len(vis.pixels)}; make them equal"
        )
    if ir.size != vis.size:
        fits = same_aspect(ir.size, vis.size)
        remedy = "--resize-ir (resize_ir=True in Python) resizes the infrared one" if fits else _reason(ir, vis)
        raise UnusableError(f"{_sizes(ir, vis)}: both must show one scene in one size; {remedy}")


def same_aspect(one: tuple[int, int], two: tuple[int, int]) -> bool:
    """Whether two sizes have one aspect: within 1 %, or within a pixel of the second."""
    down, across = two[0] / one[0], two[1] / one[1]
    within_a_pixel = min(abs(one[0] * across - two[0]), abs(one[1] * down - two[1])) <= 1
    return max(down, across) <= 1.01 * min(down, across) or within_a_pixel


def colour_note(ir: Picture, vis: Picture) -> str:
    """What an infrared picture in colours may mean; nothing if it is grey."""
    if ir.is_grey or _colours(ir) <= COLOURLESS:
        return ""
    text = f"{ir.name} is in colours: its luma is used, which is not temperature if a palette was painted"
    if not vis.is_grey:
        return text
    return (
        f"{text}; {vis.name} is grey, so the order may be wrong: infrared or MRI comes first, swap them if it does not"
    )


def _colours(picture: Picture) -> float:
    """How far the channels of a pixel lie apart at most, of 1."""
    most, xp = 0.0, namespace(picture.pixels)
    for rows in row_slices(*picture.size):
        values = picture.values(rows)
        most = max(most, float(xp.max(xp.max(values, axis=-3) - xp.min(values, axis=-3))))
    return most


def _sizes(ir: Picture, vis: Picture) -> str:
    return f"{ir.name} is {ir.size[1]}x{ir.size[0]}, {vis.name} is {vis.size[1]}x{vis.size[0]}"


def _reason(ir: Picture, vis: Picture) -> str:
    """Why two sizes do not fit, and what helps."""
    turned = [picture for picture in (ir, vis) if picture.turned]
    if len(turned) == 1 and same_aspect(ir.size, vis.size[::-1]):
        return f"{turned[0].name} was turned by its EXIF orientation and the other was not; turn that one too"
    if same_aspect(ir.size, vis.size[::-1]):
        return "one of them is turned by 90 degrees; turn it back first"
    ratios = [picture.size[1] / picture.size[0] for picture in (ir, vis)]
    return f"their aspects differ ({ratios[0]:.3f} and {ratios[1]:.3f}); crop both to the same view first"
