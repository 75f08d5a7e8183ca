"""Inference on a CPU: the network of `cmmdl.models.cmmdl` in bands of rows.

Most of the network is local: what a pixel becomes depends on its neighbours only. Such a part need not make its
intermediate maps whole. Over bands of rows, each with a halo of the neighbouring rows, they are small enough for the
cache and their memory is used again from band to band; only inputs and outputs are whole. Statistics over all pixels
are summed over the bands, and Fourier transforms take a few channels at a time.

Threads share the bands: each takes the next one when it is done with its last, and computes it alone. A core that is
busy elsewhere then costs its share, where operations that every thread takes part in would all wait for it. The bands
do not depend on the number of threads, nor does the result.

Maps are ``(1, C, H, W)``, channels-last in memory unless they are called planar.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cmmdl.models.allocator import room
from cmmdl.models.crew import share
from cmmdl.models.fourier import EPS
from cmmdl.models.layers import (
    at_least_float32,
    lowered,
    mean_and_peak,
    mix_channels,
    products,
    without_autocast,
)

if TYPE_CHECKING:
    from cmmdl.models.cmmdl import CMMDL, FDLB, HDFFB, SFCA, Decoder, Encoder, RestormerBlock

BAND_PIXELS = 16 * 640
"""Pixels in one band, halo not counted: 2.5 MiB of 64 float32 channels."""

LEAST_ROWS = 4
"""Rows of a band beside each row of its halo, however wide the picture is: a halo costs time."""

CHANNELS = 4
"""Channels in one group: Fourier transforms of a few maps at a time are several times as fast as of all at once."""

SPACING = 16
"""Numbers between the channels of a planar map. Without them all channels of a pixel can lie a multiple of 4096 bytes
apart, where a cache holds only a few of them at a time."""

SDLB_HALO = 4
"""Rows up and down that a pixel of the spatial block's result depends on: one for each of the three steps, by which
the first half goes into the next, and one more for the second half of the last."""


def worthwhile(picture: Tensor) -> bool:
    """Whether `fuse` is for pictures ``(B, 1, H, W)``: on a CPU, of more than a band, without gradients or tracing."""
    traced = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    if traced or torch.is_grad_enabled() or picture.device.type != "cpu":
        return False
    return picture.shape[-2] * picture.shape[-1] > BAND_PIXELS


def fuse(model: CMMDL, ir: Tensor, vis: Tensor) -> Tensor:
    """What the network, in eval mode, makes of luma ``(B, 1, H, W)``: one pair after the other."""
    return torch.cat([_fuse(model, *pair) for pair in zip(ir.split(1), vis.split(1), strict=True)])


def _fuse(model: CMMDL, ir: Tensor, vis: Tensor) -> Tensor:
    f_vis, f_ir = encode(model.encoder, vis), encode(model.encoder, ir)
    q_vis, q_ir = frequency_domain(model.fdlb, f_vis, f_ir) if model.fdlb is not None else (f_vis, f_ir)
    g1, g2 = spatial_domain(model, f_vis, f_ir, q_vis, q_ir)
    del f_vis, f_ir, q_vis, q_ir
    g1 = refine(model.hdffb, g1, g2)
    del g2
    return decode(model.decoder, g1)


def encode(encoder: Encoder, image: Tensor) -> Tensor:
    """The encoder: luma to features."""
    x = empty(image, encoder.embed.out_channels)

    def embed(band: Band) -> None:
        with without_autocast(image):
            band.put(x, encoder.embed(band.of(image, 1)), 1)

    share(embed, bands(image, halo=1))
    for block in encoder.blocks:
        x = restormer(block, x)  # type: ignore[arg-type]
    return x


def decode(decoder: Decoder, x: Tensor) -> Tensor:
    """The decoder: features to luma."""
    for block in decoder.blocks:
        x = restormer(block, x)  # type: ignore[arg-type]
    fused = empty(x, 1)
    share(lambda band: band.put(fused, decoder.draw(band.of(x, 2)), 2), bands(x, halo=2))
    return fused


def restormer(block: RestormerBlock, x: Tensor) -> Tensor:
    """A Restormer block, whose input is overwritten."""
    attend(block, x)
    y = empty(x)

    def feed_forward(band: Band) -> None:
        part = band.of(x, 1)
        band.put(y, part + block.gdfn(lowered(block.norm2(part))), 1)

    share(feed_forward, bands(x, halo=1))
    return y


def attend(block: RestormerBlock, x: Tensor) -> None:
    """``x + SFCA(LN(x))``, in place.

    Of the input's projections two maps are kept: the value ``v``, and ``u``. What the second stage projects from the
    mixed channels of ``v`` it projects from ``v`` itself, by the product of both matrices.
    """
    sfca = block.sfca
    v = empty(x, dtype=lowered(x[:, :0]).dtype)
    u = planar(x) if sfca.frequency else None

    def project(band: Band) -> tuple[Tensor, ...]:
        part = lowered(block.norm1(band.of(x, 1)))
        band.put(v, sfca.part(part, sfca.qkvu, sfca.qkvu_conv, 2), 1)
        if u is not None:
            band.put(u, sfca.part(part, sfca.qkvu, sfca.qkvu_conv, 3), 1)
        return products(*(band.cut(sfca.part(part, sfca.qkvu, sfca.qkvu_conv, n), 1) for n in range(2)))

    sums = [sum(parts[1:], parts[0]) for parts in zip(*share(project, bands(x, halo=1)), strict=True)]
    matrix = sfca.attention(*sums)
    if u is None:
        share(lambda band: band.of(x).add_(mix_channels(band.of(v), matrix)), bands(x))
        return
    to_key, to_value = (part @ matrix for part in sfca.kv.weight.flatten(1).chunk(2))
    key_kernel, value_kernel = sfca.kv_conv.weight.chunk(2)
    convolve(sfca, u, v, to_key, key_kernel)

    def join(band: Band) -> None:
        value = band.cut(depthwise(mix_channels(band.of(v, 1), to_value), value_kernel), 1)
        r = sfca.norm(band.of(u).contiguous(memory_format=torch.channels_last))
        both = mix_channels(band.of(v), matrix) + sfca.project_frequency(lowered(r) * value)
        band.of(x).add_(both)

    share(join, bands(x, halo=1))


def convolve(sfca: SFCA, u: Tensor, v: Tensor, to_key: Tensor, kernel: Tensor) -> None:
    """The circular convolution of ``u`` with the key that is made of ``v``, in the place of ``u``."""
    key = planar(u)
    share(lambda band: band.put(key, depthwise(mix_channels(band.of(v, 1), to_key), kernel), 1), bands(u, halo=1))
    over_channels(sfca.fourier.convolve, u, key, into=u)


def depthwise(x: Tensor, kernel: Tensor) -> Tensor:
    """A 3x3 convolution of each channel by itself."""
    return nn.functional.conv2d(x, kernel, padding=1, groups=len(kernel))


def frequency_domain(fdlb: FDLB, vis: Tensor, ir: Tensor) -> tuple[Tensor, Tensor]:
    """FDLB: features of both modalities to learnt ones."""
    size = (vis.shape[-2], vis.shape[-1])
    with without_autocast(vis):
        polar_vis, polar_ir = polar(fdlb, vis, fdlb.pre_vis), polar(fdlb, ir, fdlb.pre_ir)
        shared = planar(polar_vis[0])
        maps = [*polar_vis, *polar_ir]
        del polar_vis, polar_ir

        def learn(band: Band) -> None:
            given = [band.of(m).contiguous(memory_format=torch.channels_last) for m in maps]
            band.put(shared, fdlb.shared_phase(torch.cat([given[1], given[3]], dim=1)))
            mlps = (fdlb.amplitude_vis, fdlb.phase_vis, fdlb.amplitude_ir, fdlb.phase_ir)
            for m, part, mlp in zip(maps, given, mlps, strict=True):
                band.put(m, mlp(part))

        share(learn, bands(maps[0]))

        def synthesis(amplitude: Tensor, own: Tensor, shared: Tensor) -> Tensor:
            return fdlb.synthesis(amplitude, own, shared, size)

        q = []
        for post in (fdlb.post_vis, fdlb.post_ir):
            picture = over_channels(synthesis, maps.pop(0), maps.pop(0), shared, into=planar(vis))
            q.append(convolved(post, picture))
            del picture
    return q[0], q[1]


def polar(fdlb: FDLB, x: Tensor, pre: nn.Module) -> tuple[Tensor, Tensor]:
    """Amplitudes and phases ``(1, C, H, W // 2 + 1)``, planar."""
    picture = planar(x)
    share(lambda band: band.put(picture, pre(at_least_float32(band.of(x))) + EPS), bands(x))
    half = picture[..., : x.shape[-1] // 2 + 1]
    amplitude, phase = planar(half), planar(half)

    def transform(group: slice) -> None:
        amplitude[:, group], phase[:, group] = fdlb.fourier.polar(picture[:, group])

    share(transform, groups(picture))
    return amplitude, phase


def convolved(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A 3x3 convolution, channels-last."""
    y = empty(x)

    def convolve(band: Band) -> None:
        band.put(y, conv(band.of(x, 1).contiguous(memory_format=torch.channels_last)), 1)

    share(convolve, bands(x, halo=1))
    return y


def spatial_domain(model: CMMDL, vis: Tensor, ir: Tensor, q_vis: Tensor, q_ir: Tensor) -> tuple[Tensor, Tensor]:
    """SDLB on both modalities, and its result crossed with the frequency features: the two maps of HDFFB.

    They overwrite the frequency features, where there are such.
    """
    halo = SDLB_HALO if model.config.sdlb else 0
    dtype = lowered(vis[:, :0]).dtype
    g1, g2 = (q_vis, q_ir) if model.fdlb is not None else (empty(vis, dtype=dtype), empty(vis, dtype=dtype))

    def cross(band: Band) -> None:
        p_vis, p_ir = model.sdlb_vis(band.of(vis, halo)), model.sdlb_ir(band.of(ir, halo))
        crossed = model.hdffb.cross(band.of(q_vis), band.of(q_ir), band.cut(p_vis, halo), band.cut(p_ir, halo))
        for g, part in zip((g1, g2), crossed, strict=True):
            band.put(g, part)

    share(cross, bands(vis, halo=halo))
    return g1, g2


def refine(hdffb: HDFFB, g1: Tensor, g2: Tensor) -> Tensor:
    """The rest of HDFFB: attention, and the dense branch. Its inputs are overwritten."""
    halo = len(hdffb.dense)
    scale1: Tensor | float = 1.0
    scale2: Tensor | float = 1.0
    if hdffb.attention:
        scale1, scale2 = weigh(hdffb, g1, g2)
    y = empty(g1, dtype=torch.promote_types(g1.dtype, torch.float32))

    def dense(band: Band) -> None:
        refined = hdffb.refine(band.of(g1, halo), band.of(g2, halo))
        band.put(y, band.of(g1) * scale1 + band.of(g2) * scale2 + band.cut(refined, halo))

    share(dense, bands(g1, halo=halo))
    return y


def weigh(hdffb: HDFFB, g1: Tensor, g2: Tensor) -> tuple[Tensor, Tensor]:
    """Spatial attention on both maps, in place, and the weights that channel attention gives their channels."""
    summary = empty(g1, 2)
    share(lambda band: band.put(summary, mean_and_peak(band.of(g1), band.of(g2))), bands(g1))
    weight = 1 + hdffb.spatial_attention(summary)

    def apply(band: Band) -> tuple[Tensor, ...]:
        return tuple(band.of(g).mul_(band.of(weight)).sum((2, 3), True, dtype=dtype) for g in (g1, g2))

    dtype = torch.promote_types(g1.dtype, torch.float32)
    pixels = g1.shape[-2] * g1.shape[-1]
    sums = [sum(parts[1:], parts[0]) / pixels for parts in zip(*share(apply, bands(g1)), strict=True)]
    return hdffb.channel1(sums[0]), hdffb.channel2(sums[1])


@dataclass(frozen=True)
class Band:
    """Rows ``top`` to ``bottom`` of maps that have ``height``."""

    top: int
    bottom: int
    height: int

    def of(self, x: Tensor, halo: int = 0) -> Tensor:
        """The band of a map, with so many rows of its neighbours as there are up to ``halo``."""
        return x[:, :, max(self.top - halo, 0) : min(self.bottom + halo, self.height)]

    def cut(self, part: Tensor, halo: int) -> Tensor:
        """What was made of `of`, without the halo."""
        first = self.top - max(self.top - halo, 0)
        return part[:, :, first : first + self.bottom - self.top]

    def put(self, x: Tensor, part: Tensor, halo: int = 0) -> None:
        """Writes what was made of `of` into a whole map, without the halo."""
        x[:, :, self.top : self.bottom] = self.cut(part, halo)


def bands(x: Tensor, halo: int = 0) -> list[Band]:
    """The bands of a map; the higher the halo, the higher they are at least."""
    height, width = x.shape[-2:]
    rows = max(BAND_PIXELS // width, LEAST_ROWS * max(halo, 1))
    return [Band(top, min(top + rows, height), height) for top in range(0, height, rows)]


def groups(x: Tensor) -> list[slice]:
    """The channels of a map, a few at a time."""
    return [slice(start, start + CHANNELS) for start in range(0, x.shape[1], CHANNELS)]


def over_channels(function: Callable[..., Tensor], *maps: Tensor, into: Tensor) -> Tensor:
    """``function(*maps)`` of a function that treats each channel by itself; ``into`` may be one of the maps."""

    def compute(group: slice) -> None:
        into[:, group] = function(*(m[:, group] for m in maps))

    share(compute, groups(into))
    return into


def empty(x: Tensor, channels: int | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """A channels-last map of the height and width of another, and of its channels and type if none are given."""
    size = (1, channels or x.shape[1], *x.shape[2:])
    return room(size, dtype or x.dtype, torch.channels_last)


def planar(x: Tensor) -> Tensor:
    """A map like another that lies channel by channel, at least in float32, as Fourier transforms want it."""
    _, channels, height, width = x.shape
    flat = room((1, channels, 1, height * width + SPACING), at_least_float32(x[:0]).dtype, torch.contiguous_format)
    return flat[..., : height * width].view(x.shape)
