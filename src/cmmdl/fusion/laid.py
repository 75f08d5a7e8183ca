"""What is fused: two pictures on one grid, and what is known of how they came there."""

from __future__ import annotations

from dataclasses import dataclass

from cmmdl.align import Alignment
from cmmdl.files.pictures import Picture
from cmmdl.files.thermal import Thermal
from cmmdl.fusion.temperatures import Floats


@dataclass(frozen=True)
class Laid:
    """A pair that is ready to be fused.

    Attributes:
        ir: Infrared picture, of the size of ``vis``.
        vis: Visible picture.
        cover: ``(H, W)`` how much of the fused picture counts, in [0, 1]; the rest is the visible one. ``None``: all.
        celsius: ``(H, W)`` temperatures on these pixels, NaN where there is none; ``None`` without any.
        thermal: What they come from.
        alignment: How the two were laid on each other; ``None`` where they came as one.
        grid: Whose pixels these are.
    """

    ir: Picture
    vis: Picture
    cover: Floats | None = None
    celsius: Floats | None = None
    thermal: Thermal | None = None
    alignment: Alignment | None = None
    grid: str = "vis"
