"""What a model argument means: decided once, for every command and every call. Needs no torch."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from cmmdl.errors import UnreadableError, UserError
from cmmdl.weights.cards import TRAINED, ModelCard, available_models, find_card, weights_hash

EXPORTED = (".onnx", ".xml")
"""Suffixes of exported networks, in small letters."""

CHECKPOINTS = (".pth", ".pt", ".ckpt")
"""Suffixes of the checkpoints that `cmmdl convert` reads."""


@dataclass(frozen=True)
class Named:
    """A model that has a name: trained weights in the package, or a method without weights."""

    card: ModelCard

    @property
    def name(self) -> str:
        """What messages and exported files call it."""
        return self.card.name

    @property
    def weights(self) -> Path | None:
        """The file of its weights; None for a method without weights."""
        return TRAINED / self.card.file if self.card.file else None

    @property
    def exported(self) -> Path | None:
        """The ONNX file that comes with it, if there is one."""
        path = TRAINED / f"{self.card.name}.onnx"
        return path if path.is_file() else None

    @property
    def sha256(self) -> str:
        """Hash of its weights; empty for a method without weights."""
        return self.card.sha256


@dataclass(frozen=True)
class WeightsFile:
    """A ``.safetensors`` file that ``cmmdl train``, ``average`` or ``convert`` wrote."""

    path: Path

    @property
    def name(self) -> str:
        """What messages and exported files call it."""
        return self.path.stem

    @property
    def sha256(self) -> str:
        """Hash of the file."""
        return weights_hash(self.path)


@dataclass(frozen=True)
class ExportedFile:
    """An ``.onnx`` file, or an ``.xml`` file of OpenVINO with its ``.bin`` beside it."""

    path: Path

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.path.stem

    @property
    def openvino(self) -> bool:
        """Whether only OpenVINO reads it."""
        return self.path.suffix.lower() == ".xml"


@dataclass(frozen=True)
class Module:
    """A torch module, called ``model(ir, vis)``."""

    module: Any

    @property
    def name(self) -> str:
        """What messages and exported files call it."""
        return type(self.module).__name__


Model: TypeAlias = Named | WeightsFile | ExportedFile | Module


def resolve(model: Any) -> Model:
    """Decides what a model argument means.

    Args:
        model: A name of `available_models`; a ``.safetensors``, ``.onnx`` or ``.xml`` file; or a torch module. What
            `resolve` gave before is returned as it is.

    Raises:
        UnreadableError: If no model and no file has that name.
        UserError: If it is a checkpoint that has to be converted first, or something else.
    """
    if isinstance(model, Named | WeightsFile | ExportedFile | Module):
        return model
    torch = sys.modules.get("torch")  # where it has not been imported there is no module either
    if torch is not None and isinstance(model, torch.nn.Module):
        return Module(model)
    if not isinstance(model, str | Path):
        raise UserError(f"a {type(model).__name__} is not a model; give a name, a file or a torch module")
    card = find_card(str(model))
    return Named(card) if card is not None else _file(Path(model))


def _file(path: Path) -> WeightsFile | ExportedFile:
    if path.suffix.lower() in CHECKPOINTS:
        raise UserError(f"{path}: convert the authors' checkpoint first: cmmdl convert {path} -o model.safetensors")
    if path.suffix.lower() in EXPORTED:
        return ExportedFile(path)
    if not path.exists():
        names = ", ".join(card.name for card in available_models())
        raise UnreadableError(f"no model or file is called {str(path)!r}; the models are {names}")
    return WeightsFile(path)
