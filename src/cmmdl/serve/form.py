"""The fields that ``POST /fuse`` understands: those of ``cmmdl fuse``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cmmdl.fusion.options import FuseOptions
from cmmdl.serve.fusing import Format


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
        )


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
