"""What can be asked of one fusion, in one place for the command line and for Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from cmmdl.errors import UsageError
from cmmdl.files.levels import Range
from cmmdl.files.pictures import DEPTHS
from cmmdl.files.thermal import Conditions


@dataclass(frozen=True)
class FuseOptions:
    """How one pair is fused.

    Attributes:
        ir_range: The values of the infrared picture that mean black and white, for example ``(0, 4095)``; others are
            clipped.
        vis_range: The same for the visible picture.
        depth: ``"uint8"``, ``"uint16"`` or ``"float32"``; ``None`` is that of the visible picture. Whole numbers of the
            result always run from 0 to their type's maximum and floats from 0 to 1.
        chroma: Whose colour is kept where both pictures have some.
        resize_ir: Resize the infrared picture to the size of the visible one rather than refuse different sizes.
        grid: Whose pixels the result has, where the two had to be laid on each other: ``"vis"``, ``"overlap"``, or
            ``"ir"``; ``None`` is ``"overlap"`` for a photo within a radiometric file, else ``"vis"``.
        ir_palette: In which palette the infrared picture is painted, so that its values are taken back: a name,
            ``"auto"`` to recognise it; ``None`` takes its luma.
        invert_ir: Whether black is hot in it.
        split: ``"rgbt"`` for files whose fourth channel is thermal.
        conditions: How the scene was, where a radiometric file is to be overruled.
        pip: Show the infrared picture in a window of the visible one instead of fusing: left, top, width and height
            in pixels, or ``"auto"`` for the middle.

    Raises:
        UsageError: If a choice is unknown.
    """

    ir_range: Range | None = None
    vis_range: Range | None = None
    depth: str | None = None
    chroma: Literal["vis", "ir"] = "vis"
    resize_ir: bool = False
    grid: Literal["vis", "overlap", "ir"] | None = None
    ir_palette: str | None = None
    invert_ir: bool = False
    split: Literal["rgbt"] | None = None
    conditions: Conditions = field(default_factory=Conditions)
    pip: tuple[int, int, int, int] | Literal["auto"] | None = None

    def __post_init__(self) -> None:
        if self.chroma not in ("vis", "ir"):
            raise UsageError(f"chroma {self.chroma!r} is unknown; choose vis or ir")
        if self.grid not in (None, "vis", "overlap", "ir"):
            raise UsageError(f"grid {self.grid!r} is unknown; choose vis, overlap or ir")
        if self.depth not in (None, *DEPTHS):
            raise UsageError(f"depth {self.depth!r} is unknown; choose one of {', '.join(DEPTHS)}")


DEFAULTS = FuseOptions()
