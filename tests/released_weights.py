"""Weights of the parity data: drawn for each key of the authors' checkpoint from a generator seeded by its name."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).parent / "golden"


def released_state() -> dict[str, torch.Tensor]:
    """A state dict in the authors' format, with all of its keys, ``module.`` prefix included."""
    shapes = json.loads((GOLDEN / "official_checkpoint_keys.json").read_text())
    return {key: _draw(key.removeprefix("module."), shape) for key, shape in shapes.items()}


def _draw(name: str, shape: list[int]) -> torch.Tensor:
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if name.endswith("running_var"):
        values = 0.5 + rng.rand(*shape)
    elif len(shape) == 4 and not name.endswith("temperature"):
        values = rng.randn(*shape) / np.sqrt(np.prod(shape[1:]))
    elif name.endswith(("weight", "temperature")):
        values = 1 + 0.1 * rng.randn(*shape)
    else:
        values = 0.1 * rng.randn(*shape)
    return torch.from_numpy(values.astype(np.float32))
