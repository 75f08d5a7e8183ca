"""Writing a network's weights and configuration as safetensors."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from cmmdl.errors import UserError
from cmmdl.files.atomic import write_bytes
from cmmdl.models.networks import architecture_of


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


def _with_sorted_metadata(data: bytes) -> bytes:
    """The same safetensors file with its text in order: safetensors shuffles it, and equal models need equal hashes."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[end:]
