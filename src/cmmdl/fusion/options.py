"""What can be asked of one fusion, in one place for the command line and for Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cmmdl.errors import UsageError
from cmmdl.files.pictures import DEPTHS
from cmmdl.files.ranges import Given, parse_range


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

    Raises:
        UsageError: If a choice is unknown.
    """

    ir_range: Given = None
    vis_range: Given = None
    depth: str | None = None
    chroma: Literal["vis", "ir"] = "vis"
    resize_ir: bool = False

    def __post_init__(self) -> None:
        parse_range(self.ir_range, "ir")
        parse_range(self.vis_range, "vis")
        if self.chroma not in ("vis", "ir"):
            raise UsageError(f"chroma {self.chroma!r} is unknown; choose vis or ir")
        if self.depth not in (None, *DEPTHS):
            raise UsageError(f"depth {self.depth!r} is unknown; choose one of {', '.join(DEPTHS)}")


DEFAULTS = FuseOptions()
