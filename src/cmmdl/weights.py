"""Weights: the ones in the box, and reading and writing weight files."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from cmmdl.atomic import write_bytes
from cmmdl.cards import PRETRAINED, available_models, find_card
from cmmdl.errors import UserError
from cmmdl.models.baselines import BASELINES
from cmmdl.models.networks import architecture_of, build


def load_model(name_or_path: str | Path) -> nn.Module:
    """A model, ready to fuse.

    Args:
        name_or_path: A name of `available_models` (``cmmdl-ivf``, ``mean``, ...), or a ``.safetensors`` file that
            ``cmmdl train`` or ``cmmdl convert`` wrote.

    Returns:
        A module in eval mode on the CPU, called ``model(ir, vis)`` on ``(B, 1, H, W)`` floats in [0, 1].

    Raises:
        UserError: If there is no such name or file, or the file holds no weights of the network.
    """
    card = find_card(str(name_or_path))
    if card is None:
        return _read_model(_existing(Path(name_or_path)))
    if not card.file:
        return BASELINES[card.name]().eval()
    return _read_model(PRETRAINED / card.file, card.sha256)


def save_model(model: nn.Module, path: str | Path, metadata: dict[str, str] | None = None) -> str:
    """Write a network's weights and configuration as safetensors, whole or not at all.

    Args:
        model: The network.
        path: Where to.
        metadata: More text to keep with them (training settings, scores).

    Returns:
        The file's SHA-256.

    Raises:
        UserError: If the model is none of ``cmmdl.models.networks``, or the file cannot be written.
    """
    architecture = architecture_of(model)
    if architecture is None:
        raise UserError(f"{path}: only the CMMDL networks have weights to save, not {type(model).__name__}")
    config: Any = model.config
    header = {"architecture": architecture, "config": json.dumps(asdict(config)), **(metadata or {})}
    data = save({key: value.contiguous() for key, value in model.state_dict().items()}, header)
    data = _with_sorted_metadata(data)
    write_bytes(Path(path), data)
    return hashlib.sha256(data).hexdigest()


def average_models(models: Sequence[nn.Module], shares: Sequence[float]) -> nn.Module:
    """The network whose every parameter is the weighted mean of theirs.

    Args:
        models: CMMDL networks of one configuration, fine-tuned from the same weights.
        shares: Of each; they add up to 1.

    Returns:
        A network of its own in eval mode.

    Raises:
        UserError: If the shares do not add up to 1, or the networks are not alike.

    Reference: Wortsman et al. Model soups: averaging weights of multiple fine-tuned models improves accuracy without
    increasing inference time. ICML 2022.
    """
    if len(models) != len(shares) or not models or abs(sum(shares) - 1) > 1e-6:
        raise UserError(
            f"shares {', '.join(f'{share:g}' for share in shares)} of {len(models)} networks: give each one"
            " share, so that they add up to 1"
        )
    if architecture_of(models[0]) is None:
        raise UserError(f"{type(models[0]).__name__} has no weights to average: give CMMDL networks")
    if any(type(model) is not type(models[0]) or model.config != models[0].config for model in models):
        raise UserError("only networks of one architecture and configuration can be averaged")
    mean, states = copy.deepcopy(models[0]), [model.state_dict() for model in models]
    mean.load_state_dict(
        {
            name: sum(share * state[name].double() for share, state in zip(shares, states, strict=True)).to(value.dtype)
            if value.is_floating_point()
            else value
            for name, value in states[0].items()
        }
    )
    return mean.eval()


def _with_sorted_metadata(data: bytes) -> bytes:
    """The same safetensors file with its text in order: safetensors shuffles it, and equal models need equal hashes."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[end:]


def read_metadata(path: str | Path) -> dict[str, str]:
    """What `save_model` kept beside the weights: architecture, configuration, training settings.

    Raises:
        UserError: If the file is not safetensors.
    """
    return _metadata(_read_bytes(Path(path)), Path(path))


def _existing(path: Path) -> Path:
    names = ", ".join(card.name for card in available_models())
    if path.suffix in (".pth", ".pt", ".ckpt"):
        raise UserError(f"{path}: convert the authors' checkpoint first: cmmdl convert {path} -o model.safetensors")
    if not path.exists():
        raise UserError(f"no model or file is called {str(path)!r}; the models are {names}")
    return path


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def _metadata(data: bytes, path: Path) -> dict[str, str]:
    """The text in a safetensors header: eight bytes of length, then JSON."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = header.get("__metadata__", {})
        return {str(key): str(value) for key, value in metadata.items()}
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path}: not a safetensors file; use one that cmmdl train or cmmdl convert wrote") from error


def _read_model(path: Path, sha256: str = "") -> nn.Module:
    data = _read_bytes(path)
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(f"{path}: does not have the hash of its card; install cmmdl again")
    metadata = _metadata(data, path)
    try:
        state: dict[str, Tensor] = load(data)
        model = build(metadata.get("architecture", "cmmdl"), json.loads(metadata["config"]))
        model.load_state_dict(state)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: holds no weights of a CMMDL network ({reason})") from error
    return model.eval()
