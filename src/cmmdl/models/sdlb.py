"""SDLB, spatial-domain learning block: three coupling steps on the two halves of one modality's features."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmmdl.models.norm import without_autocast

Coupling = Literal["released", "invertible"]

HALO = 6
"""Rows up and down that a pixel of `SDLB`'s result depends on at most: two for each of its steps."""


class SubNetwork(nn.Module):
    """``x + 1x1(relu6(dw3x3(relu6(1x1(x)))))``, the depthwise convolution over a reflected border.

    Along a side of a single pixel, where nothing can be reflected, the border is replicated.

    Args:
        width: Channels in and out; twice as many inside.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(width, 2 * width, 1, bias=False)
        self.depthwise = nn.Conv2d(2 * width, 2 * width, 3, groups=2 * width, bias=False)
        self.project = nn.Conv2d(2 * width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, H, W)`` to the same shape."""
        y = F.relu6(self.expand(x), inplace=True)
        with without_autocast(y):  # which would widen the map for its border
            y = reflect_border(y)
        return x + self.project(F.relu6(self.depthwise(y), inplace=True))


class CouplingStep(nn.Module):
    """One step on halves ``(z1, z2)``: ``y1 = z1 + phi(.)``, ``y2 = z2 * exp(0.8 (2 sigmoid(rho(y1)) - 1)) + eta(y1)``.

    ``released`` computes ``phi(z1)``, as the authors' program does, which no inverse undoes in general; ``invertible``
    computes ``phi(z2)``, the affine coupling that the paper describes.

    Args:
        width: Channels of one half.
        coupling: Which of the two.
    """

    def __init__(self, width: int, coupling: Coupling) -> None:
        super().__init__()
        self.coupling = coupling
        self.phi, self.rho, self.eta = SubNetwork(width), SubNetwork(width), SubNetwork(width)

    def forward(self, z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
        """Halves ``(B, width, H, W)`` to halves of the same shape."""
        y1 = z1 + self.phi(z1 if self.coupling == "released" else z2)
        return y1, z2 * self.log_scale(y1).exp() + self.eta(y1)

    def inverse(self, y1: Tensor, y2: Tensor) -> tuple[Tensor, Tensor]:
        """The halves that ``forward`` maps to ``(y1, y2)``; for the ``invertible`` coupling only."""
        z2 = (y2 - self.eta(y1)) * (-self.log_scale(y1)).exp()
        return y1 - self.phi(z2), z2

    def log_scale(self, y1: Tensor) -> Tensor:
        """``0.8 (2 sigmoid(rho) - 1)``, written as the hyperbolic tangent that it is; within (-0.8, 0.8)."""
        return 0.8 * torch.tanh(0.5 * self.rho(y1))


class SDLB(nn.Module):
    """Spatial-domain learning block of one modality.

    Args:
        width: Channels in and out, an even number.
        coupling: ``released`` for the authors' weights, ``invertible`` for an exact inverse. The halves change places
            between the steps of the invertible one.
        steps: Coupling steps.

    Reference: CMMDL (Neural Networks 196:108450, 2025), SDLB; the affine coupling is that of Dinh et al.,
    Density estimation using Real NVP (ICLR 2017).
    """

    def __init__(self, width: int, coupling: Coupling = "released", steps: int = 3) -> None:
        super().__init__()
        self.coupling = coupling
        self.steps = nn.ModuleList(CouplingStep(width // 2, coupling) for _ in range(steps))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, H, W)`` to the same shape."""
        z1, z2 = (half.contiguous(memory_format=torch.channels_last) for half in x.chunk(2, dim=1))
        for n, step in enumerate(self.steps):
            z1, z2 = step(z2, z1) if self._swaps(n) else step(z1, z2)
        return torch.cat([z1, z2], dim=1)

    def inverse(self, y: Tensor) -> Tensor:
        """The input that ``forward`` maps to ``y``.

        Args:
            y: ``(B, width, H, W)``.

        Raises:
            ValueError: With the released coupling, which has no inverse in general.
        """
        if self.coupling == "released":
            raise ValueError("the released coupling has no inverse; build the network with coupling='invertible'")
        y1, y2 = y.chunk(2, dim=1)
        for n in reversed(range(len(self.steps))):
            step = self.steps[n]
            assert isinstance(step, CouplingStep)
            y1, y2 = step.inverse(y1, y2)
            if self._swaps(n):
                y1, y2 = y2, y1
        return torch.cat([y1, y2], dim=1)

    def _swaps(self, n: int) -> bool:
        return self.coupling == "invertible" and n > 0


def reflect_border(x: Tensor) -> Tensor:
    """One pixel of border around ``(B, C, H, W)``: reflected, or replicated along a side of a single pixel."""
    height, width = x.shape[-2:]
    if height > 1 and width > 1:
        return F.pad(x, (1, 1, 1, 1), mode="reflect")
    x = F.pad(x, (1, 1, 0, 0), mode="reflect" if width > 1 else "replicate")
    return F.pad(x, (0, 0, 1, 1), mode="reflect" if height > 1 else "replicate")
