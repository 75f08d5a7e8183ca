"""Networks as files for other runtimes: ONNX and OpenVINO, kept only if they agree with torch.

>>> from cmmdl.runtimes.export import export_model
>>> export_model("cmmdl-rt", "model.onnx")

Names are loaded on first use: the cache of exported files is asked without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmmdl.runtimes.export.agreement import Agreement as Agreement
    from cmmdl.runtimes.export.model import FORMATS as FORMATS
    from cmmdl.runtimes.export.model import PRECISIONS as PRECISIONS
    from cmmdl.runtimes.export.model import export_model as export_model

_HOME = {
    "Agreement": "cmmdl.runtimes.export.agreement",
    "FORMATS": "cmmdl.runtimes.export.model",
    "PRECISIONS": "cmmdl.runtimes.export.model",
    "export_model": "cmmdl.runtimes.export.model",
}
__all__ = ["FORMATS", "PRECISIONS", "Agreement", "export_model"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'cmmdl.runtimes.export' has no attribute {name!r}")
