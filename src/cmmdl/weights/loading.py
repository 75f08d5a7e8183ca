"""From a name or a file to a network that is ready to fuse."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from safetensors.torch import load
from torch import Tensor, nn

from cmmdl.errors import UnreadableError, UserError
from cmmdl.models.baselines import BASELINES
from cmmdl.models.networks import build
from cmmdl.weights.resolving import Named, WeightsFile, resolve


def load_model(name_or_path: str | Path | Named | WeightsFile) -> nn.Module:
    """A model, ready to fuse.

    Args:
        name_or_path: A name of `available_models` (``cmmdl-ivf``, ``mean``, ...), or a ``.safetensors`` file that
            ``cmmdl train`` or ``cmmdl convert`` wrote.

    Returns:
        A module in eval mode on the CPU, called ``model(ir, vis)`` on ``(B, 1, H, W)`` floats in [0, 1].

    Raises:
        UserError: If there is no such name or file, or the file holds no weights of the network.
    """
    model = resolve(name_or_path)
    if isinstance(model, WeightsFile):
        return _read_model(model.path)
    if not isinstance(model, Named):
        raise UserError(f"{name_or_path}: an exported network has no weights to load; give it to Fuser")
    if model.weights is None:
        return BASELINES[model.name]().eval()
    return _read_model(model.weights, model.sha256)


def read_header(path: str | Path) -> dict[str, str]:
    """What `save_model` kept beside the weights: architecture, configuration, training settings.

    Raises:
        UserError: If the file is not safetensors.
    """
    return _metadata(_read_bytes(Path(path)), Path(path))


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read: {error.strerror or error}") from error


def _metadata(data: bytes, path: Path) -> dict[str, str]:
    """The text in a safetensors header: eight bytes of length, then JSON."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = header.get("__metadata__", {})
        return {str(key): str(value) for key, value in metadata.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise UnreadableError(
            f"{path}: not a safetensors file; use one that cmmdl train or cmmdl convert wrote"
        ) from error


def _read_model(path: Path, sha256: str = "") -> nn.Module:
    data = _read_bytes(path)
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(f"{path}: does not match the hash on its card; reinstall cmmdl")
    metadata = _metadata(data, path)
    try:
        state: dict[str, Tensor] = load(data)
        model = build(metadata.get("architecture", "cmmdl"), json.loads(metadata["config"]))
        model.load_state_dict(state)
    except Exception as error:  # a damaged header can ask for anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: does not hold the weights of a CMMDL network ({reason})") from error
    return model.eval()
