"""Gradients of the plain network, `benchmarks/plain_network.py`, in double precision: how the kept arrays were made.

``python tests/golden/gradients.py`` writes them again; they change only if the network itself does.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

HERE = Path(__file__).parent
FILE = HERE / "cmmdl_gradients.npz"
SIZE = (14, 19)
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "benchmarks")]


def pictures() -> tuple[Tensor, Tensor, Tensor]:
    """Infrared, visible and the weight of each fused pixel, ``(1, 1, H, W)`` doubles."""
    rng = np.random.RandomState(21)
    ir, vis, weights = (torch.from_numpy(rng.rand(1, 1, *SIZE)) for _ in range(3))
    return ir.requires_grad_(), vis.requires_grad_(), weights - 0.5


def plain_network(state: dict[str, Tensor]) -> nn.Module:
    """The plain network in double precision, in eval mode."""
    from plain_network import PlainCMMDL

    plain = PlainCMMDL().double().eval()
    plain.load_state_dict(state)
    return plain


def gradients(network: nn.Module) -> dict[str, np.ndarray]:
    """Of the weighted sum of the fused picture: to both pictures, and to every parameter by its name."""
    ir, vis, weights = pictures()
    (network(ir, vis) * weights).sum().backward()
    found = {name: parameter.grad for name, parameter in network.named_parameters()}
    return {name: grad.numpy() for name, grad in {"ir": ir.grad, "vis": vis.grad, **found}.items()}  # type: ignore[union-attr]


def main() -> None:
    """Writes the gradients to the pictures, and of each parameter the length of its gradient."""
    from cmmdl.weights.released import from_released
    from released_weights import released_state

    found = gradients(plain_network(from_released(released_state())[0].double().state_dict()))
    lengths = {name: np.linalg.norm(grad) for name, grad in found.items() if name not in ("ir", "vis")}
    np.savez_compressed(FILE, ir=found["ir"], vis=found["vis"], names=list(lengths), lengths=list(lengths.values()))


if __name__ == "__main__":
    main()
