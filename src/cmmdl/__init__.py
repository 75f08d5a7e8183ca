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
    from cmmdl.fusion.fuser import Fuser as Fuser
    from cmmdl.weights.cards import available_models as available_models
    from cmmdl.weights.loading import load_model as load_model

__version__ = version("cmmdl")

_HOME = {
    "Fuser": "cmmdl.fusion.fuser",
    "UserError": "cmmdl.errors",
    "available_models": "cmmdl.weights.cards",
    "load_model": "cmmdl.weights.loading",
}
__all__ = ["Fuser", "UserError", "__version__", "available_models", "load_model", "metrics"]


def __getattr__(name: str) -> Any:
    if name == "metrics":
        return import_module("cmmdl.metrics")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'cmmdl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
