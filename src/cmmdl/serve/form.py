"""The fields that ``POST /fuse`` understands: those of ``cmmdl fuse``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cmmdl.errors import UsageError
from cmmdl.fusion.options import FuseOptions
from cmmdl.fusion.products import Products
from cmmdl.serve.fusing import Format, Shown


class FuseForm(BaseModel):
    """Options of one fusion; names and meanings are those of the command line."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field("", description="One of GET /models; empty is the server's default.")
    format: Format = Field("png", description="Format of the answer.")
    stretch: bool = Field(False, description="Stretch the result to the full range.")
    depth: Literal["", "uint8", "uint16", "float32"] = Field("", description="Empty is that of the visible picture.")
    chroma: Literal["vis", "ir"] = Field("vis", description="Whose colour is kept where both have some.")
    ir_range: str = Field("auto", description="Infrared black and white: auto, type, 7000:8500, 1%:99%.")
    vis_range: str = Field("type", description="The same of the visible picture.")
    align: bool = Field(False, description="Lay the infrared picture on the visible one where that is sure.")
    shift: str = Field("0,0", description="Shift of the infrared picture in pixels, right and down, such as 4,-2.")
    zoom: float = Field(1.0, ge=0.05, le=20, description="Enlarges the infrared picture about the middle.")
    rotate: float = Field(0.0, ge=-180, le=180, description="Turns it clockwise about the middle, in degrees.")
    grid: Literal["", "vis", "overlap", "ir"] = Field("", description="Whose pixels the result has.")
    palette: str = Field("", description="Paints temperatures, or infrared values, such as iron.")
    metadata: Literal["vis", "ir", "none"] = Field("vis", description="Whose metadata the result carries.")
    show: Shown = Field(
        "fused", description="A source as it is laid on the other, a PNG of 8 bits, instead of the fused picture."
    )
    resize_ir: bool = Field(False, description="Resize the infrared picture to the visible one's size.")

    def options(self) -> FuseOptions:
        """As the fuser takes them.

        Raises:
            UserError: If a range makes no sense.
        """
        return FuseOptions(
            ir_range=self.ir_range,
            vis_range=self.vis_range,
            depth=self.depth or None,
            chroma=self.chroma,
            resize_ir=self.resize_ir,
            align="auto" if self.align else None,
            shift=self._shift(),
            zoom=self.zoom,
            rotate=self.rotate,
            grid=self.grid or None,
            ir_palette="auto",
        )

    def products(self) -> Products:
        """Paint and metadata.

        Raises:
            UserError: If there is no such palette.
        """
        return Products(palette=self.palette or None, metadata=self.metadata)

    def _shift(self) -> tuple[float, float]:
        try:
            right, down = (float(part) for part in self.shift.split(","))
        except ValueError as error:
            raise UsageError(f"shift {self.shift!r} is not two numbers; give right and down, such as 4,-2") from error
        return right, down


def read_fields(fields: dict[str, Any]) -> FuseForm:
    """Checks the fields of a form.

    Raises:
        ValueError: With one line that names the field.
    """
    try:
        return FuseForm(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        known = ", ".join(FuseForm.model_fields)
        reason = f"unknown; there are {known}" if first["type"] == "extra_forbidden" else str(first["msg"]).lower()
        raise ValueError(f"field {name}: {reason}") from error
