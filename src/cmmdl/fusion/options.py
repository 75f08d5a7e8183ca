"""What can be asked of one fusion, in one place for the command line and for Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cmmdl.align.transform import WARPS, Alignment
from cmmdl.align.warp import GRIDS
from cmmdl.errors import UsageError
from cmmdl.files.levels import Range
from cmmdl.files.pictures import DEPTHS
from cmmdl.files.ranges import Given, parse_range
from cmmdl.files.thermal import Conditions


@dataclass(frozen=True)
class FuseOptions:
    """How one pair is fused.

    Attributes:
        ir_range: The values of the infrared picture that mean black and white, as `cmmdl.files.ranges.Given` has it:
            ``(0, 4095)``, ``"1%:99%"``, ``"auto"``, ``"each"``, ``"type"``; others are clipped.
        vis_range: The same for the visible picture.
        depth: ``"uint8"``, ``"uint16"`` or ``"float32"``; ``None`` is that of the visible picture. Whole numbers of the
            result always run from 0 to their type's maximum and floats from 0 to 1.
        chroma: Whose colour is kept where both pictures have some.
        resize_ir: Resize the infrared picture to the size of the visible one rather than refuse different sizes.
        align: Lay the infrared picture on the visible one where that is sure: ``"auto"`` with the simplest transform
            that explains the pair, or one of :data:`cmmdl.align.transform.WARPS`.
        transform: A file that ``cmmdl align --save`` wrote, or its content, used instead.
        shift: Moves the infrared picture right and down, in pixels of the visible one.
        zoom: Enlarges it about the middle of the visible picture.
        rotate: Turns it clockwise about the same point, in degrees.
        grid: Whose pixels the result has: ``"vis"``, the visible picture's (the default), ``"overlap"``, those of it
            that infrared covers (the default for a photo within a radiometric file), or ``"ir"``, the infrared one's.
        ir_palette: In which palette the infrared picture is painted, so that its values are taken back: a name, or
            ``"auto"`` to recognise it; ``None`` and ``"none"`` take its luma.
        invert_ir: Whether black is hot in it.
        split: ``"rgbt"`` for files whose fourth channel is thermal.
        conditions: How the scene was, where a radiometric file is to be overruled.
        pip: Show the infrared picture in a window of the visible one instead of fusing: left, top, width and height
            in pixels, or ``"auto"`` for the middle.
        check: Look at each pair of files whether the pictures lie on each other, and say so if not.
        levels: Values of the fused luma that become black and white, the same for every picture of a clip; ``None``
            leaves them as they are.

    Raises:
        UsageError: If a choice is unknown, or two exclude each other.
    """

    ir_range: Given = None
    vis_range: Given = None
    depth: str | None = None
    chroma: Literal["vis", "ir"] = "vis"
    resize_ir: bool = False
    align: str | None = None
    transform: Path | Alignment | None = None
    shift: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    rotate: float = 0.0
    grid: Literal["vis", "overlap", "ir"] | None = None
    check: bool = True
    ir_palette: str | None = None
    invert_ir: bool = False
    split: Literal["rgbt"] | None = None
    conditions: Conditions = field(default_factory=Conditions)
    pip: tuple[int, int, int, int] | Literal["auto"] | None = None
    levels: Range | None = None

    def __post_init__(self) -> None:
        parse_range(self.ir_range, "ir")
        parse_range(self.vis_range, "vis")
        if self.chroma not in ("vis", "ir"):
            raise UsageError(f"chroma {self.chroma!r} is unknown; choose vis or ir")
        if self.depth not in (None, *DEPTHS):
            raise UsageError(f"depth {self.depth!r} is unknown; choose one of {', '.join(DEPTHS)}")
        if self.align not in (None, "auto", *WARPS):
            raise UsageError(f"warp {self.align!r} is unknown; choose auto or one of {', '.join(WARPS)}")
        if self.grid not in (None, *GRIDS):
            raise UsageError(f"grid {self.grid!r} is unknown; choose one of {', '.join(GRIDS)}")
        if not (0.05 <= self.zoom <= 20 and all(abs(value) < 1e6 for value in (*self.shift, self.rotate))):
            raise UsageError("--zoom must be from 0.05 to 20, --shift and --rotate finite")
        if self.align and self.transform:
            raise UsageError("--align and --transform cannot be combined; give one of them")

    @property
    def placed(self) -> bool:
        """Whether the infrared picture is moved before both are fused."""
        by_hand = self.shift != (0, 0) or self.zoom != 1 or self.rotate != 0
        return bool(self.align or self.transform or by_hand or self.grid in ("overlap", "ir"))


DEFAULTS = FuseOptions()
