"""The network's Fourier transforms, by FFT: the part that an export replaces (`cmmdl.runtimes.export.spectra`)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cmmdl.models.layers import at_least_float32

EPS = 1e-8
"""What the released program adds to spectra, and to the maps before they are transformed."""


class Fourier:
    """What the network does in the spectrum, apart from learning.

    Blocks hold one as their attribute ``fourier``; whoever computes by other means gives a copy of the network others.
    """

    def convolve(self, a: Tensor, b: Tensor) -> Tensor:
        """Circular convolution of ``(B, C, H, W)`` with the same, channel by channel, over the whole image."""
        if torch.is_grad_enabled():
            return CircularConvolution.apply(a, b).contiguous(memory_format=torch.channels_last)
        return torch.fft.irfft2(torch.fft.rfft2(a).mul_(torch.fft.rfft2(b)), s=a.shape[-2:])

    def polar(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Amplitude and phase ``(B, C, H, W // 2 + 1)`` of ``(B, C, H, W)``."""
        spectrum = half_spectrum(x)
        return spectrum.abs(), spectrum.angle()

    def picture(self, amplitude: Tensor, phase: Tensor, size: tuple[int, int]) -> Tensor:
        """The image ``(B, C, H, W)`` of a half spectrum that need not be one of a real image.

        FFT libraries differ on such a spectrum, so its inverse is taken in stated steps: complex along the rows' axis,
        the imaginary part of the columns that a real image has real set to 0, then complex-to-real along the other.
        """
        amplitude, phase = at_least_float32(amplitude), at_least_float32(phase)
        spectrum = torch.complex(amplitude * phase.cos() + 2 * EPS, amplitude * phase.sin() + EPS)
        columns = torch.fft.ifft(spectrum, dim=-2)
        imaginary = torch.view_as_real(columns)[..., 1]
        for column in own_conjugates(size[1]):
            imaginary[..., column] = 0.0
        return torch.fft.irfft(columns, n=size[1], dim=-1)


class CircularConvolution(torch.autograd.Function):
    """``irfft2(rfft2(a) * rfft2(b))``, whose gradients are three more real transforms instead of complex ones."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        """Both ``(B, C, H, W)``, float32 or float64."""
        spectrum_a, spectrum_b = torch.fft.rfft2(a), torch.fft.rfft2(b)
        ctx.save_for_backward(spectrum_a, spectrum_b)
        return torch.fft.irfft2(spectrum_a * spectrum_b, s=a.shape[-2:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """The gradient correlated with the other factor."""
        spectrum, size = torch.fft.rfft2(grad), grad.shape[-2:]
        a, b = ctx.saved_tensors
        return torch.fft.irfft2(spectrum * b.conj(), s=size), torch.fft.irfft2(spectrum * a.conj(), s=size)


def half_spectrum(x: Tensor) -> Tensor:
    """``rfft2`` of ``(B, C, H, W)``, complex ``(B, C, H, W // 2 + 1)``, for taking phases.

    The bins that are their own conjugate are real for a real image, but rounding leaves them an imaginary part of
    either sign, which turns the phase of a negative value from +pi to -pi. Theirs is set to +0, so that the phase does
    not depend on the FFT library or the number of threads.
    """
    spectrum = torch.fft.rfft2(at_least_float32(x))
    imaginary = torch.view_as_real(spectrum)[..., 1]
    for row in own_conjugates(x.shape[-2]):
        for column in own_conjugates(x.shape[-1]):
            imaginary[..., row, column] = 0.0
    return spectrum


def own_conjugates(length: int) -> list[int]:
    """Indices of a transform of this length that are their own conjugate: 0, and the middle of an even length."""
    return [0] if length % 2 else [0, length // 2]
