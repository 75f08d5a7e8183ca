"""Networks as files for other runtimes: ONNX and OpenVINO, kept only if they agree with torch.

>>> from cmmdl.export import export_model
>>> export_model("cmmdl-rt", "model.onnx")

Names are loaded on first use: the cache of exported files is asked without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmmdl.export.agreement import Agreement as Agreement
    from cmmdl.export.model import FORMATS as FORMATS
    from cmmdl.export.model import PRECISIONS as PRECISIONS
    from cmmdl.export.model import export_model as export_model

_HOME = {
    "Agreement": "cmmdl.export.agreement",
    "FORMATS": "cmmdl.export.model",
    "PRECISIONS": "cmmdl.export.model",
    "export_model": "cmmdl.export.model",
}
__all__ = ["FORMATS", "PRECISIONS", "Agreement", "export_model"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'cmmdl.export' has no attribute {name!r}")
