"""CMMDL: multi-modal image fusion.

``Fuser`` fuses pictures, ``load_model`` gives the network as a torch module, ``cmmdl.metrics`` scores results.
Public names are loaded on first use, so that ``cmmdl --help`` does not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmmdl import metrics as metrics
    from cmmdl.errors import UserError as UserError
    from cmmdl.files.thermal import Thermal as Thermal
    from cmmdl.files.thermal import read_thermal as read_thermal
    from cmmdl.fusion.fuser import Fuser as Fuser
    from cmmdl.fusion.stream import fuse_stream as fuse_stream
    from cmmdl.weights.cards import available_models as available_models
    from cmmdl.weights.loading import load_model as load_model

__version__ = version("cmmdl")

_HOME = {
    "Fuser": "cmmdl.fusion.fuser",
    "Thermal": "cmmdl.files.thermal",
    "UserError": "cmmdl.errors",
    "available_models": "cmmdl.weights.cards",
    "fuse_stream": "cmmdl.fusion.stream",
    "load_model": "cmmdl.weights.loading",
    "read_thermal": "cmmdl.files.thermal",
}
__all__ = [
    "Fuser",
    "Thermal",
    "UserError",
    "__version__",
    "available_models",
    "fuse_stream",
    "load_model",
    "metrics",
    "read_thermal",
]


def __getattr__(name: str) -> Any:
    if name == "metrics":
        return import_module("cmmdl.metrics")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'cmmdl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
