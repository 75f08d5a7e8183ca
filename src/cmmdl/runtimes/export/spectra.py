"""Fourier transforms as matrix products, in real numbers, for files that other runtimes run.

ONNX has a DFT operator, but ONNX Runtime's loses three digits on lengths that are no power of two (median error of a
640x480 spectrum 1e-2, of these matrix products 6e-5, of an FFT 5e-6), which turns phases. Matrices of cosines and
sines are made inside the graph from the picture's size, so the size stays free. A spectrum is ``(2, B, C, H, W)``:
real and imaginary parts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from cmmdl.models import fdlb, sfca


@contextmanager
def matrix_spectra() -> Iterator[None]:
    """Replaces the Fourier parts of the network by those of this module while it is traced."""
    replaced: list[tuple[Any, str, Any]] = [
        (fdlb, "half_spectrum", half_spectrum),
        (fdlb, "polar", polar),
        (fdlb, "inverse_polar", inverse_polar),
        (sfca, "circular_convolution", circular_convolution),
    ]
    kept = [getattr(module, name) for module, name, _ in replaced]
    for module, name, function in replaced:
        setattr(module, name, function)
    try:
        yield
    finally:
        for (module, name, _), function in zip(replaced, kept, strict=True):
            setattr(module, name, function)


def half_spectrum(x: Tensor) -> Tensor:
    """`cmmdl.models.fdlb.half_spectrum` as ``(2, B, C, H, W // 2 + 1)``; its rules on own conjugates are kept."""
    height, width = x.shape[-2], x.shape[-1]
    real, imaginary = forward(x)
    own = own_conjugate(height, height)[:, None] * own_conjugate(width, width // 2 + 1)
    return torch.stack([real, imaginary * (1 - own)])


def polar(spectrum: Tensor) -> tuple[Tensor, Tensor]:
    """Amplitude and phase of a spectrum, each ``(B, C, H, W)``."""
    real, imaginary = spectrum[0], spectrum[1]
    return (real * real + imaginary * imaginary).sqrt(), angle(real, imaginary)


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


def inverse_polar(amplitude: Tensor, phase: Tensor, size: tuple[int, int]) -> Tensor:
    """`cmmdl.models.fdlb.inverse_polar`, by the same steps."""
    height, width = size
    real, imaginary = amplitude * phase.cos() + 2 * fdlb.EPS, amplitude * phase.sin() + fdlb.EPS
    return inverse(real, imaginary, height, width)


def circular_convolution(a: Tensor, b: Tensor) -> Tensor:
    """`cmmdl.models.sfca.circular_convolution` of ``(B, C, H, W)`` with the same."""
    (real_a, imaginary_a), (real_b, imaginary_b) = forward(a), forward(b)
    real = real_a * real_b - imaginary_a * imaginary_b
    return inverse(real, real_a * imaginary_b + imaginary_a * real_b, a.shape[-2], a.shape[-1])


def forward(x: Tensor) -> tuple[Tensor, Tensor]:
    """``rfft2`` of ``(B, C, H, W)``: real and imaginary part, each ``(B, C, H, W // 2 + 1)``.

    The mean is taken off first and put into its bin, so that it does not round the others.
    """
    height, width = x.shape[-2], x.shape[-1]
    mean = x.mean(dim=(-2, -1), keepdim=True)
    cosine, sine = waves(width, width // 2 + 1)
    rows = x - mean
    real, imaginary = rows @ cosine, -(rows @ sine)
    cosine, sine = waves(height, height)
    real, imaginary = cosine @ real + sine @ imaginary, cosine @ imaginary - sine @ real
    zero_row, zero_column = torch.arange(height) == 0, torch.arange(width // 2 + 1) == 0
    first = (zero_row[:, None] & zero_column).to(x.dtype)
    return real + mean * (height * width) * first, imaginary


def inverse(real: Tensor, imaginary: Tensor, height: int, width: int) -> Tensor:
    """The image of a half spectrum: complex along the rows' axis, then complex-to-real along the other.

    The imaginary part of the columns that a real image has real plays no part, since its sine is 0.
    """
    cosine, sine = waves(height, height)
    real, imaginary = (
        (cosine @ real - sine @ imaginary) / height,
        (cosine @ imaginary + sine @ real) / height,
    )
    cosine, sine = waves(width, width // 2 + 1)
    weights = (2 - own_conjugate(width, width // 2 + 1)) / width  # the other half of the spectrum is its mirror image
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
