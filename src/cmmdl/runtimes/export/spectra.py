"""Fourier transforms as matrix products, in real numbers, for files that other runtimes run.

ONNX has a DFT operator, but ONNX Runtime's loses three digits on lengths that are no power of two (median error of a
640x480 spectrum 1e-2, of these matrix products 6e-5, of an FFT 5e-6), which turns phases. Matrices of cosines and
sines are made inside the graph from the picture's size, so the size stays free. A spectrum is ``(2, B, C, H, W)``:
real and imaginary parts.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cmmdl.models.fourier import EPS, Fourier


@dataclass(frozen=True)
class Waves:
    """What the transforms of one size are made of.

    Attributes:
        size: Height and width of the picture.
        down: Cosines and sines ``(H, H)`` along the height.
        across: Cosines and sines ``(W, W // 2 + 1)`` along the width.
        own_rows: 1 for those rows ``(H, 1)`` of a spectrum that are their own conjugate, else 0.
        own_columns: The same of the columns ``(W // 2 + 1,)``.
        first: 1 for the bin of the mean of ``(H, W // 2 + 1)``, else 0.
    """

    size: tuple[int, int]
    down: tuple[Tensor, Tensor]
    across: tuple[Tensor, Tensor]
    own_rows: Tensor
    own_columns: Tensor
    first: Tensor

    @classmethod
    def of(cls, height: int, width: int) -> Waves:
        """Those of a size."""
        half = width // 2 + 1
        first = (torch.arange(height) == 0)[:, None] & (torch.arange(half) == 0)
        return cls(
            size=(height, width),
            down=waves(height, height),
            across=waves(width, half),
            own_rows=own_conjugate(height, height)[:, None],
            own_columns=own_conjugate(width, half),
            first=first.to(torch.float32),
        )


class MatrixFourier(Fourier):
    """`cmmdl.models.fourier.Fourier` by matrix products; its rules on own conjugates are kept.

    The matrices of the last size are kept, so blocks that share one object have them once in a graph. A graph is
    traced with an object of its own, since what was kept belongs to the trace that made it.
    """

    def __init__(self) -> None:
        self.kept: Waves | None = None

    def waves(self, height: int, width: int) -> Waves:
        """The matrices of a size."""
        if self.kept is None or self.kept.size != (height, width):
            self.kept = Waves.of(height, width)
        return self.kept

    def convolve(self, a: Tensor, b: Tensor) -> Tensor:
        """Circular convolution of ``(B, C, H, W)`` with the same."""
        waves = self.waves(a.shape[-2], a.shape[-1])
        (real_a, imaginary_a), (real_b, imaginary_b) = forward(a, waves), forward(b, waves)
        real = real_a * real_b - imaginary_a * imaginary_b
        return inverse(real, real_a * imaginary_b + imaginary_a * real_b, waves)

    def polar(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Amplitude and phase, each ``(B, C, H, W // 2 + 1)``."""
        waves = self.waves(x.shape[-2], x.shape[-1])
        real, imaginary = forward(x, waves)
        imaginary = imaginary * (1 - waves.own_rows * waves.own_columns)
        return (real * real + imaginary * imaginary).sqrt(), angle(real, imaginary)

    def picture(self, amplitude: Tensor, phase: Tensor, size: tuple[int, int]) -> Tensor:
        """The image of a half spectrum, by the same steps."""
        return inverse(amplitude * phase.cos() + 2 * EPS, amplitude * phase.sin() + EPS, self.waves(*size))


def with_matrices(model: nn.Module) -> nn.Module:
    """A copy of a network that transforms by matrix products; the copy of a module without transforms is the same."""
    model, matrices = copy.deepcopy(model), MatrixFourier()
    for module in model.modules():
        if isinstance(getattr(module, "fourier", None), Fourier):
            setattr(module, "fourier", matrices)  # noqa: B010
    return model


def angle(real: Tensor, imaginary: Tensor) -> Tensor:
    """``atan2(imaginary, real)`` in (-pi, pi], +pi on the negative real axis, from operators that ONNX has.

    It is twice the angle of the half-way vector, ``2 atan(y / (|z| + x))``, or by the other form where x is negative,
    so that nothing cancels.
    """
    size = (real * real + imaginary * imaginary).sqrt()
    right = real >= 0
    side = torch.where(imaginary < 0, -1.0, 1.0)
    above = torch.where(right, imaginary, side * (size - real))
    below = torch.where(right, size + real, imaginary.abs())
    flat = below == 0  # zero itself, or the negative real axis
    turned = 2 * torch.atan(above / torch.where(flat, 1.0, below))
    return torch.where(flat, torch.where(right, 0.0, math.pi * side), turned)


def forward(x: Tensor, waves: Waves) -> tuple[Tensor, Tensor]:
    """``rfft2`` of ``(B, C, H, W)``: real and imaginary part, each ``(B, C, H, W // 2 + 1)``.

    The mean is taken off first and put into its bin, so that it does not round the others.
    """
    height, width = waves.size
    mean = x.mean(dim=(-2, -1), keepdim=True)
    cosine, sine = waves.across
    rows = x - mean
    real, imaginary = rows @ cosine, -(rows @ sine)
    cosine, sine = waves.down
    real, imaginary = cosine @ real + sine @ imaginary, cosine @ imaginary - sine @ real
    return real + mean * (height * width) * waves.first, imaginary


def inverse(real: Tensor, imaginary: Tensor, waves: Waves) -> Tensor:
    """The image of a half spectrum: complex along the rows' axis, then complex-to-real along the other.

    The imaginary part of the columns that a real image has real plays no part, since its sine is 0.
    """
    height, width = waves.size
    cosine, sine = waves.down
    real, imaginary = (
        (cosine @ real - sine @ imaginary) / height,
        (cosine @ imaginary + sine @ real) / height,
    )
    cosine, sine = waves.across
    weights = (2 - waves.own_columns) / width  # the other half of the spectrum is its mirror image
    return (real * weights) @ cosine.T - (imaginary * weights) @ sine.T


def waves(length: int, count: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines ``(length, count)`` of ``2 pi j k / length``, the turns reduced as whole numbers."""
    turns = whole_remainder(torch.arange(length)[:, None] * torch.arange(count), length)
    angles = turns.to(torch.float32) * (2 * math.pi / length)
    return angles.cos(), angles.sin()


def own_conjugate(length: int, count: int) -> Tensor:
    """1 for those of the first ``count`` indices that are their own conjugate (0, and half an even length), else 0."""
    return (whole_remainder(2 * torch.arange(count), length) == 0).to(torch.float32)


def whole_remainder(numbers: Tensor, length: int) -> Tensor:
    """``numbers % length`` of whole numbers; the exporter knows it for two tensors only."""
    return numbers % torch.full((1,), length)
