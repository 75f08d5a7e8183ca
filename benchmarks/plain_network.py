"""The specification written down plainly: channels-first modules, one operation a line, nothing optimised.

It is the yardstick of every speed ratio that the project quotes. Parameters carry the names of ``cmmdl.models.cmmdl``,
so one state dict serves both; the arithmetic is written independently of it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LayerNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        batch, width, height, breadth = x.shape
        pixels = x.reshape(batch, width, height * breadth).transpose(1, 2)
        mean = pixels.mean(-1, keepdim=True)
        variance = pixels.var(-1, keepdim=True, unbiased=False)
        pixels = (pixels - mean) / torch.sqrt(variance + 1e-5) * self.weight + self.bias
        return pixels.transpose(1, 2).reshape(batch, width, height, breadth)


class SFCA(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(1, heads, 1, 1))
        self.qkvu = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.qkvu_conv = nn.Conv2d(4 * width, 4 * width, 3, padding=1, groups=4 * width, bias=False)
        self.project = nn.Conv2d(width, width, 1, bias=False)
        self.kv = nn.Conv2d(width, 2 * width, 1, bias=False)
        self.kv_conv = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width, bias=False)
        self.norm = LayerNorm(width)
        self.project_frequency = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, width, height, breadth = x.shape
        q, k, v, u = self.qkvu_conv(self.qkvu(x)).chunk(4, dim=1)
        q, k, v = (t.reshape(batch, self.heads, width // self.heads, height * breadth) for t in (q, k, v))
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        attention = (q @ k.transpose(-2, -1) * self.temperature).softmax(dim=-1)
        s = self.project((attention @ v).reshape(batch, width, height, breadth))
        k2, v2 = self.kv_conv(self.kv(s)).chunk(2, dim=1)
        r = torch.fft.irfft2(torch.fft.rfft2(u) * torch.fft.rfft2(k2), s=(height, breadth))
        return self.project_frequency(self.norm(r) * v2) + s


class GDFN(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.depthwise = nn.Conv2d(4 * width, 4 * width, 3, padding=1, groups=4 * width, bias=False)
        self.project = nn.Conv2d(2 * width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.depthwise(self.expand(x)).chunk(2, dim=1)
        return self.project(F.gelu(a) * b)


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.sfca = LayerNorm(width), SFCA(width, heads)
        self.norm2, self.gdfn = LayerNorm(width), GDFN(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.sfca(self.norm1(x))
        return x + self.gdfn(self.norm2(x))


class Encoder(nn.Module):
    def __init__(self, width: int, blocks: int, heads: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.embed(x))


class Decoder(nn.Module):
    def __init__(self, width: int, blocks: int, heads: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))
        self.reduce = nn.Conv2d(width, width // 2, 3, padding=1, bias=False)
        self.output = nn.Conv2d(width // 2, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.output(F.leaky_relu(self.reduce(self.blocks(x)), 0.01)))


class SubNetwork(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(width, 2 * width, 1, bias=False)
        self.depthwise = nn.Conv2d(
            2 * width, 2 * width, 3, padding=1, padding_mode="reflect", groups=2 * width, bias=False
        )
        self.project = nn.Conv2d(2 * width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(F.relu6(self.depthwise(F.relu6(self.expand(x)))))


class CouplingStep(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.phi, self.rho, self.eta = SubNetwork(width), SubNetwork(width), SubNetwork(width)

    def forward(self, z: Tensor) -> Tensor:
        z1, z2 = z.chunk(2, dim=1)
        y1 = z1 + self.phi(z1)
        y2 = z2 * torch.exp(0.8 * (2 * torch.sigmoid(self.rho(y1)) - 1)) + self.eta(y1)
        return torch.cat([y1, y2], dim=1)


class SDLB(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.steps = nn.Sequential(*(CouplingStep(width // 2) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        return self.steps(x)


def mlp(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 1), nn.LeakyReLU(0.1), nn.Conv2d(width, width, 1))


def middles(length: int) -> list[int]:
    return [0] if length % 2 else [0, length // 2]


class FDLB(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.pre_vis, self.pre_ir = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.shared_phase = mlp(2 * width, width)
        self.amplitude_vis, self.amplitude_ir = mlp(width, width), mlp(width, width)
        self.phase_vis, self.phase_ir = mlp(width, width), mlp(width, width)
        self.post_vis, self.post_ir = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)

    def spectrum(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(x)
        real = torch.zeros(spectrum.shape[-2:], dtype=torch.bool)
        for row in middles(x.shape[-2]):
            for column in middles(x.shape[-1]):
                real[row, column] = True
        return torch.complex(spectrum.real, torch.where(real, torch.zeros_like(spectrum.imag), spectrum.imag))

    def inverse(self, amplitude: Tensor, phase: Tensor, size: tuple[int, int]) -> Tensor:
        real, imaginary = amplitude * torch.cos(phase) + 1e-8, amplitude * torch.sin(phase) + 1e-8
        columns = torch.fft.ifft(torch.complex(real + 1e-8, imaginary), dim=-2)
        real = torch.zeros(columns.shape[-1], dtype=torch.bool)
        real[middles(size[1])] = True
        columns = torch.complex(columns.real, torch.where(real, torch.zeros_like(columns.imag), columns.imag))
        return torch.fft.irfft(columns, n=size[1], dim=-1)

    def forward(self, vis: Tensor, ir: Tensor) -> tuple[Tensor, Tensor]:
        size = (vis.shape[-2], vis.shape[-1])
        v, i = self.spectrum(self.pre_vis(vis) + 1e-8), self.spectrum(self.pre_ir(ir) + 1e-8)
        shared = self.shared_phase(torch.cat([torch.angle(v), torch.angle(i)], dim=1))
        amplitude_v, amplitude_i = self.amplitude_vis(torch.abs(v)), self.amplitude_ir(torch.abs(i))
        phase_v, phase_i = self.phase_vis(torch.angle(v)), self.phase_ir(torch.angle(i))
        q_v = self.inverse(amplitude_v, shared, size).abs() + self.inverse(amplitude_v, phase_v, size).abs()
        q_i = self.inverse(amplitude_i, shared, size).abs() + self.inverse(amplitude_i, phase_i, size).abs()
        return self.post_vis(q_v), self.post_ir(q_i)


class ChannelAttention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze, self.squeeze_norm = nn.Conv2d(width, width // 2, 1), nn.BatchNorm2d(width // 2)
        self.excite, self.excite_norm = nn.Conv2d(width // 2, width, 1), nn.BatchNorm2d(width)

    def forward(self, g: Tensor) -> Tensor:
        hidden = F.relu(self.squeeze_norm(self.squeeze(F.adaptive_avg_pool2d(g, 1))))
        return g * torch.sigmoid(self.excite_norm(self.excite(hidden)))


class DenseUnit(nn.Module):
    def __init__(self, maps: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(maps * width, width, 3, padding=1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm2(self.norm1(self.conv(x))))


class HDFFB(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.cross_vis, self.cross_vis_norm = nn.Conv2d(2 * width, width, 1, bias=False), nn.BatchNorm2d(width)
        self.cross_ir, self.cross_ir_norm = nn.Conv2d(2 * width, width, 1, bias=False), nn.BatchNorm2d(width)
        self.reduce, self.reduce_norm = nn.Conv2d(2 * width, width, 1, bias=False), nn.BatchNorm2d(width)
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.channel1, self.channel2 = ChannelAttention(width), ChannelAttention(width)
        self.dense = nn.ModuleList(DenseUnit(n + 1, width) for n in range(4))

    def forward(self, q_vis: Tensor, q_ir: Tensor, p_vis: Tensor, p_ir: Tensor) -> Tensor:
        f1 = F.relu6(self.cross_vis_norm(self.cross_vis(torch.cat([q_vis, p_ir], dim=1))))
        f2 = F.relu6(self.cross_ir_norm(self.cross_ir(torch.cat([p_vis, q_ir], dim=1))))
        f3 = torch.cat([f1, f2], dim=1)
        summary = torch.cat([f3.mean(dim=1, keepdim=True), f3.max(dim=1, keepdim=True).values], dim=1)
        g = torch.sigmoid(self.spatial(summary)) * f3 + f3
        g1, g2 = g.chunk(2, dim=1)
        t = F.relu6(self.reduce_norm(self.reduce(g)))
        maps = [t]
        for unit in self.dense:
            maps.append(unit(torch.cat(maps, dim=1)))
        return self.channel1(g1) + self.channel2(g2) + maps[-1]


class PlainCMMDL(nn.Module):
    """The released network, plainly; called ``model(ir, vis)`` like the library's."""

    def __init__(self, width: int = 64, blocks: int = 4, heads: int = 8) -> None:
        super().__init__()
        self.encoder = Encoder(width, blocks, heads)
        self.sdlb_vis, self.sdlb_ir = SDLB(width), SDLB(width)
        self.fdlb = FDLB(width)
        self.hdffb = HDFFB(width)
        self.decoder = Decoder(width, blocks, heads)

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        f_vis, f_ir = self.encoder(vis), self.encoder(ir)
        q_vis, q_ir = self.fdlb(f_vis, f_ir)
        return self.decoder(self.hdffb(q_vis, q_ir, self.sdlb_vis(f_vis), self.sdlb_ir(f_ir)))
