"""FDLB, frequency-domain learning block: amplitudes and phases of both modalities, learnt in the spectrum."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from cmmdl.models.bands import in_bands, over_channels
from cmmdl.models.norm import at_least_float32, without_autocast

EPS = 1e-8


class SpectrumMLP(nn.Sequential):
    """``1x1 -> LeakyReLU(0.1) -> 1x1`` with biases, on amplitudes or phases.

    Args:
        channels: Channels in.
        width: Channels inside and out.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(nn.Conv2d(channels, width, 1), nn.LeakyReLU(0.1, inplace=True), nn.Conv2d(width, width, 1))


class FDLB(nn.Module):
    """Frequency-domain learning block.

    Each modality's amplitude is learnt on its own and joined with two phases: one learnt from both modalities and one
    of its own. The two inverse transforms are added by magnitude.

    Args:
        width: Channels in and out.

    Reference: CMMDL (Neural Networks 196:108450, 2025), FDLB.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pre_vis, self.pre_ir = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.shared_phase = SpectrumMLP(2 * width, width)
        self.amplitude_vis, self.amplitude_ir = SpectrumMLP(width, width), SpectrumMLP(width, width)
        self.phase_vis, self.phase_ir = SpectrumMLP(width, width), SpectrumMLP(width, width)
        self.post_vis = nn.Conv2d(width, width, 3, padding=1)
        self.post_ir = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, vis: Tensor, ir: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``(B, width, H, W)`` of both modalities to learnt ones, visible first."""
        join = partial(synthesis, size=(vis.shape[-2], vis.shape[-1]))
        with without_autocast(vis):
            polar_vis, polar_ir = self._spectrum(vis, self.pre_vis), self._spectrum(ir, self.pre_ir)
            images = vis.shape[0]
            learnt = (polar_vis[:images], polar_vis[images:], polar_ir[:images], polar_ir[images:])
            *learnt, shared = in_bands(self._learn, *learnt, planar=True, into=learnt)
            q_vis = over_channels(join, *learnt[:2], shared)
            del polar_vis, learnt[:2]
            q_vis = in_bands(self.post_vis, q_vis, halo=1)
            q_ir = over_channels(join, *learnt, shared)
            del polar_ir, learnt, shared
            return q_vis, in_bands(self.post_ir, q_ir, halo=1)

    def _spectrum(self, x: Tensor, pre: nn.Conv2d) -> Tensor:
        """Amplitudes ``(B, width, H, W // 2 + 1)`` and phases, one after the other along the batch."""
        x = in_bands(lambda x: pre(at_least_float32(x)) + EPS, x, planar=True)
        return over_channels(lambda x: torch.cat(polar(half_spectrum(x))), x)

    def _learn(self, amplitude_vis: Tensor, phase_vis: Tensor, amplitude_ir: Tensor, phase_ir: Tensor) -> list[Tensor]:
        """All four learnt, and the phase that both share."""
        given = (amplitude_vis, phase_vis, amplitude_ir, phase_ir)
        maps = [m.contiguous(memory_format=torch.channels_last) for m in given]
        mlps = (self.amplitude_vis, self.phase_vis, self.amplitude_ir, self.phase_ir)
        shared = self.shared_phase(torch.cat([maps[1], maps[3]], dim=1))
        return [*(mlp(m) for mlp, m in zip(mlps, maps, strict=True)), shared]


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


def polar(spectrum: Tensor) -> tuple[Tensor, Tensor]:
    """Amplitude and phase of complex ``(B, C, H, W)``."""
    return spectrum.abs(), spectrum.angle()


def synthesis(amplitude: Tensor, own_phase: Tensor, shared_phase: Tensor, size: tuple[int, int]) -> Tensor:
    """``|inverse(a, shared)| + |inverse(a, own)|``: ``(B, C, H, W)`` from half spectra."""
    return inverse_polar(amplitude, shared_phase, size).abs() + inverse_polar(amplitude, own_phase, size).abs()


def inverse_polar(amplitude: Tensor, phase: Tensor, size: tuple[int, int]) -> Tensor:
    """The image ``(B, C, H, W)`` of a half spectrum that need not be one of a real image.

    FFT libraries differ on such a spectrum, so its inverse is taken in stated steps: complex along the rows' axis, the
    imaginary part of the columns that a real image has real set to 0, then complex-to-real along the other axis.
    """
    amplitude, phase = at_least_float32(amplitude), at_least_float32(phase)
    spectrum = torch.complex(amplitude * phase.cos() + 2 * EPS, amplitude * phase.sin() + EPS)
    columns = torch.fft.ifft(spectrum, dim=-2)
    imaginary = torch.view_as_real(columns)[..., 1]
    for column in own_conjugates(size[1]):
        imaginary[..., column] = 0.0
    return torch.fft.irfft(columns, n=size[1], dim=-1)


def own_conjugates(length: int) -> list[int]:
    """Indices of a transform of this length that are their own conjugate: 0, and the middle of an even length."""
    return [0] if length % 2 else [0, length // 2]
