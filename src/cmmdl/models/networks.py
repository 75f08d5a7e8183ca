"""The networks that have weights, by the name that a weights file and a training configuration give their kind."""

from __future__ import annotations

from typing import Any

from torch import nn

from cmmdl.models.cmmdl import CMMDL, CMMDLConfig
from cmmdl.models.rt import CMMDLRT, CMMDLRTConfig

NETWORKS: dict[str, tuple[type[nn.Module], type]] = {
    "cmmdl": (CMMDL, CMMDLConfig),
    "cmmdl-rt": (CMMDLRT, CMMDLRTConfig),
}
"""Architecture → network and its configuration."""


def build(architecture: str, settings: dict[str, Any]) -> CMMDL | CMMDLRT:
    """A network with random weights.

    Args:
        architecture: A key of ``NETWORKS``.
        settings: Fields of its configuration; missing ones have their defaults.

    Raises:
        KeyError: If there is no such architecture.
        TypeError: If the configuration has no such field.
        ValueError: If the configuration does not make sense.
    """
    network, config = NETWORKS[architecture]
    built = network(config(**settings))
    assert isinstance(built, CMMDL | CMMDLRT)
    return built


def architecture_of(model: nn.Module) -> str | None:
    """The key of ``NETWORKS`` that a module is of, or None."""
    return next((name for name, (network, _) in NETWORKS.items() if type(model) is network), None)
