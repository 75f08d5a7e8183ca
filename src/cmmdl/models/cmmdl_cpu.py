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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmmdl.models.allocator import room
from cmmdl.models.crew import share
from cmmdl.models.fourier import EPS
from cmmdl.models.layers import (
    at_least_float32,
    conv_norm,
    folded,
    lowered,
    mean_and_peak,
    pointwise,
    products,
    reflect_border,
    sum_of_convs,
    without_autocast,
)
from cmmdl.models.onednn import gated, relu6_depthwise, relu6_pointwise

if TYPE_CHECKING:
    from cmmdl.models.cmmdl import (
        CMMDL,
        FDLB,
        HDFFB,
        SDLB,
        SFCA,
        CouplingStep,
        Decoder,
        Encoder,
        RestormerBlock,
        SubNetwork,
    )

BAND_PIXELS = 16 * 640
"""Pixels in one band at most, halo not counted: 2.5 MiB of 64 float32 channels."""

LEAST_ROWS = 4
"""Rows of a band beside each row of its halo, however wide the picture is: a halo costs time."""

FEW_PIXELS = 8 * 640
"""Pixels of the few rows of a band that a depthwise convolution takes at a time."""

SHARES = 4
"""A map is cut for a multiple of so many bands, which two threads, or four, share evenly; rows may run out earlier."""

CHANNELS = 1
"""Channels in one group: Fourier transforms of one map at a time are several times as fast as of all at once."""

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
    x = embed(encoder, image)
    for block in encoder.blocks:
        x = restormer(cast("RestormerBlock", block), x)
    return x


def embed(encoder: Encoder, image: Tensor) -> Tensor:
    """The encoder's first convolution."""
    x = empty(image, encoder.embed.out_channels)

    def work(band: Band) -> None:
        rows = band.wider(1)
        with without_autocast(image):
            band.put(x, band.cut(encoder.embed(rows.of(image)), rows))

    share(work, bands(image))
    return x


def decode(decoder: Decoder, x: Tensor) -> Tensor:
    """The decoder: features to luma."""
    for block in decoder.blocks:
        x = restormer(cast("RestormerBlock", block), x)
    return draw(decoder, x)


def draw(decoder: Decoder, x: Tensor) -> Tensor:
    """The decoder's last convolutions."""
    fused = empty(x, 1)

    def work(band: Band) -> None:
        rows = band.wider(2)
        band.put(fused, band.cut(decoder.draw(rows.of(x)), rows))

    share(work, bands(x, halo=2))
    return fused


def restormer(block: RestormerBlock, x: Tensor) -> Tensor:
    """A Restormer block, whose input is overwritten."""
    attend(block, x)
    return feed_forward(block, x)


def attend(block: RestormerBlock, x: Tensor) -> None:
    """``x + SFCA(LN(x))``, in place.

    Of the input's projections two maps are kept: the value ``v``, and ``u``. What the second stage projects from the
    mixed channels of ``v`` it projects from ``v`` itself, by the product of both matrices.
    """
    sfca = block.sfca
    v = empty(x, dtype=lowered(x[:, :0]).dtype)
    if not sfca.frequency:
        matrix = sfca.attention(*project(block, x, [v]))[0]
        share(lambda band: add_product(band.of(x), band.of(v), lowered(matrix)), bands(x))
        return
    u = planar(x)
    matrix = sfca.attention(*project(block, x, [v, u]))[0]
    to_key, to_value = (part @ matrix for part in sfca.kv.weight.flatten(1).chunk(2))
    convolve(sfca, u, v, to_key)
    join(sfca, x, v, u, matrix, to_value)


def project(block: RestormerBlock, x: Tensor, maps: list[Tensor]) -> list[Tensor]:
    """The projections of SFCA's input: sums over query and key; value and ``u``, if it is there, go into ``maps``."""
    sfca, width = block.sfca, block.sfca.width
    weights, kernels = (lowered(c.weight).split(width) for c in (sfca.qkvu, sfca.qkvu_conv))

    def normed(rows: Band) -> Tensor:
        return lowered(block.norm1(rows.of(x)))

    def work(band: Band) -> list[Tensor]:
        sums = []
        for few, lines in projections(band, x, normed, weights):
            q, k, *kept = (depthwise(line, kernel) for line, kernel in zip(lines, kernels, strict=True))
            for m, part in zip(maps, kept, strict=True):
                few.put(m, part)
            sums.append(products(q, k))
        return summed(sums)

    return summed(share(work, bands(x)))


def convolve(sfca: SFCA, u: Tensor, v: Tensor, to_key: Tensor) -> None:
    """The circular convolution of ``u`` with the key that is made of ``v``, in the place of ``u``."""
    key, weight, kernel = planar(u), lowered(to_key), lowered(sfca.kv_conv.weight[: sfca.width])

    def work(band: Band) -> None:
        for few, (line,) in projections(band, v, lambda rows: rows.of(v), [weight]):
            few.put(key, depthwise(line, kernel))

    share(work, bands(u))
    over_channels(sfca.fourier.convolve, u, key, into=u)


def join(sfca: SFCA, x: Tensor, v: Tensor, r: Tensor, matrix: Tensor, to_value: Tensor) -> None:
    """``x + s + 1x1(LN(r) v')`` in place: both stages' results, ``s`` and the value ``v'`` made of ``v``."""
    weight, kernel = lowered(to_value), lowered(sfca.kv_conv.weight[sfca.width :])
    mix, out = lowered(matrix), lowered(sfca.project_frequency.weight)

    def work(band: Band) -> None:
        for few, (line,) in projections(band, v, lambda rows: rows.of(v), [weight]):
            value = depthwise(line, kernel)
            normed = lowered(sfca.norm(few.of(r).contiguous(memory_format=torch.channels_last)))
            add_product(few.of(x), few.of(v), mix)
            add_product(few.of(x), value.mul_(normed), out)

    share(work, bands(x))


def feed_forward(block: RestormerBlock, x: Tensor) -> Tensor:
    """``x + GDFN(LN(x))``."""
    gdfn, y = block.gdfn, empty(x)
    weights, kernels = (lowered(c.weight).split(gdfn.hidden) for c in (gdfn.expand, gdfn.depthwise))
    out = lowered(gdfn.project.weight)

    def normed(rows: Band) -> Tensor:
        return lowered(block.norm2(rows.of(x)))

    def work(band: Band) -> None:
        for few, (a, b) in projections(band, x, normed, weights):
            few.put(y, few.of(x))
            add_product(few.of(y), gated(a, kernels[0], b, kernels[1]), out)

    share(work, bands(x))
    return y


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
    amplitude, phase = planar(picture[..., : x.shape[-1] // 2 + 1], count=2).split(1)

    def transform(group: slice) -> None:
        amplitude[:, group], phase[:, group] = fdlb.fourier.polar(picture[:, group])

    share(transform, groups(picture))
    return amplitude, phase


def convolved(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A 3x3 convolution, channels-last."""
    y = empty(x)

    def convolve(band: Band) -> None:
        rows = band.wider(1)
        band.put(y, band.cut(conv(rows.of(x).contiguous(memory_format=torch.channels_last)), rows))

    share(convolve, bands(x))
    return y


def spatial_domain(model: CMMDL, vis: Tensor, ir: Tensor, q_vis: Tensor, q_ir: Tensor) -> tuple[Tensor, Tensor]:
    """SDLB on both modalities, and its result crossed with the frequency features: the two maps of HDFFB.

    They overwrite the frequency features, where there are such.
    """
    hdffb, dtype = model.hdffb, lowered(vis[:, :0]).dtype
    g1, g2 = (q_vis, q_ir) if model.fdlb is not None else (empty(vis, dtype=dtype), empty(vis, dtype=dtype))

    def work(band: Band) -> None:
        p_vis, p_ir = coupled(model.sdlb_vis, vis, band), coupled(model.sdlb_ir, ir, band)
        for g, parts, conv, norm in (
            (g1, [band.of(q_vis), *p_ir], hdffb.cross_vis, hdffb.cross_vis_norm),
            (g2, [*p_vis, band.of(q_ir)], hdffb.cross_ir, hdffb.cross_ir_norm),
        ):
            band.put(g, conv_norm(parts, conv, [norm]).clamp_(0, 6))

    share(work, bands(vis, halo=SDLB_HALO))
    return g1, g2


def coupled(block: nn.Module, x: Tensor, band: Band) -> list[Tensor]:
    """SDLB on a band: both halves. Each convolution leaves a row less of the halo, and fewer of one half."""
    if isinstance(block, nn.Identity):
        return [band.of(x)]
    block = cast("SDLB", block)
    rows1 = rows2 = band.wider(SDLB_HALO)
    z1, z2 = (half.contiguous(memory_format=torch.channels_last) for half in rows1.of(x).chunk(2, dim=1))
    for n, step in enumerate(cast("list[CouplingStep]", block.steps)):
        if block.swaps(n):
            z1, z2, rows1, rows2 = z2, z1, rows2, rows1
        given, rows = (z1, rows1) if block.coupling == "released" else (z2, rows2)
        (phi,), after = subnetworks([step.phi], given, rows), rows1.common(rows.inner())
        z1, rows1 = after.cut(z1, rows1) + after.cut(phi, rows.inner()), after
        rho, eta = subnetworks([step.rho, step.eta], z1, rows1)
        after = rows2.common(rows1.inner())
        scale = after.cut(rho, rows1.inner()).sigmoid_().mul_(1.6).sub_(0.8).exp_()
        z2, rows2 = after.cut(eta, rows1.inner()).addcmul_(after.cut(z2, rows2), scale), after
    return [band.cut(z1, rows1), band.cut(z2, rows2)]


def subnetworks(nets: list[SubNetwork], x: Tensor, rows: Band) -> list[Tensor]:
    """What several sub-networks of the spatial block make of the same map, on the inner rows of it.

    The border is reflected before the first convolution, which sees single pixels only: there it is half as large.
    """
    expand, kernel = (
        torch.cat([layer.weight for layer in layers])
        for layers in zip(*((net.expand, net.depthwise) for net in nets), strict=True)
    )
    around = lowered(reflect_border(x, *rows.ends()))
    hidden = relu6_depthwise(relu6_pointwise(around, lowered(expand)), lowered(kernel))
    parts = hidden.chunk(len(nets), dim=1)
    centre = rows.inner().cut(x, rows)
    return [plus_product(centre, part, lowered(net.project.weight)) for part, net in zip(parts, nets, strict=True)]


def refine(hdffb: HDFFB, g1: Tensor, g2: Tensor) -> Tensor:
    """The rest of HDFFB: attention, and the dense branch. The weighted pixels overwrite its inputs."""
    scales: tuple[Tensor | float, ...] = weigh(hdffb, g1, g2) if hdffb.attention else (1.0, 1.0)
    y = empty(g1, dtype=at_least_float32(g1[:, :0]).dtype)
    kernels = [folded(unit.conv, [unit.norm1, unit.norm2]) for unit in hdffb.dense]  # type: ignore[arg-type,list-item]

    def work(band: Band) -> None:
        rows = band.wider(len(kernels))
        first = conv_norm([rows.of(g1), rows.of(g2)], hdffb.reduce, [hdffb.reduce_norm]).clamp_(0, 6)
        refined = dense(kernels, first, rows, band)
        weighted = [band.of(g) * scale for g, scale in zip((g1, g2), scales, strict=True)]
        band.put(y, weighted[0] + weighted[1] + refined)

    share(work, bands(g1, halo=len(kernels)))
    return y


def dense(kernels: list[tuple[Tensor, Tensor | None]], first: Tensor, rows: Band, band: Band) -> Tensor:
    """The dense branch on a band, from its first map on more rows: each convolution leaves a row less at either end."""
    maps = [first]
    for weight, bias in kernels:
        padded = [F.pad(m, (0, 0, *rows.ends())) for m in maps] if any(rows.ends()) else maps
        inner = rows.inner()
        maps = [inner.cut(m, rows) for m in maps]
        maps.append(sum_of_convs(padded, weight, bias, (0, 1)).relu_())
        rows = inner
    return band.cut(maps[-1], rows)


def weigh(hdffb: HDFFB, g1: Tensor, g2: Tensor) -> tuple[Tensor, Tensor]:
    """Spatial attention on both maps, in place, and the weights that channel attention gives their channels."""
    summary = empty(g1, 2)
    share(lambda band: band.put(summary, mean_and_peak(band.of(g1), band.of(g2))), bands(g1))
    weight, dtype = 1 + hdffb.spatial_attention(summary), at_least_float32(g1[:, :0]).dtype

    def work(band: Band) -> list[Tensor]:
        return [band.of(g).mul_(band.of(weight)).sum((2, 3), True, dtype=dtype) for g in (g1, g2)]

    pixels = g1.shape[-2] * g1.shape[-1]
    mean1, mean2 = (total / pixels for total in summed(share(work, bands(g1))))
    return hdffb.channel1(mean1), hdffb.channel2(mean2)


@dataclass(frozen=True)
class Band:
    """Rows ``top`` to ``bottom`` of maps that have ``height``."""

    top: int
    bottom: int
    height: int

    def of(self, x: Tensor) -> Tensor:
        """These rows of a whole map."""
        return x[:, :, self.top : self.bottom]

    def put(self, x: Tensor, part: Tensor) -> None:
        """Writes them; a channels-last part of a planar map is transposed as a matrix, in half the time of a copy."""
        if x.stride(1) != 1 and part.stride(1) == 1 and part.shape[1] > 1:
            part = pixels(part).t().contiguous().view(part.shape)
        x[:, :, self.top : self.bottom] = part

    def cut(self, part: Tensor, rows: Band) -> Tensor:
        """These rows of a map of more rows."""
        return part[:, :, self.top - rows.top : self.bottom - rows.top]

    def wider(self, halo: int) -> Band:
        """With so many neighbours at either end, as far as the picture goes."""
        return Band(max(self.top - halo, 0), min(self.bottom + halo, self.height), self.height)

    def ends(self) -> tuple[int, int]:
        """1 for each end, above and below, at which the picture ends too."""
        return int(self.top == 0), int(self.bottom == self.height)

    def inner(self) -> Band:
        """Those that have both neighbours here, or the picture's border in the place of one."""
        above, below = self.ends()
        return Band(self.top + 1 - above, self.bottom - 1 + below, self.height)

    def common(self, other: Band) -> Band:
        """Those that another band has too."""
        return Band(max(self.top, other.top), min(self.bottom, other.bottom), self.height)

    def split(self, rows: int) -> list[Band]:
        """A few rows after the other."""
        return [Band(t, min(t + rows, self.bottom), self.height) for t in range(self.top, self.bottom, rows)]


def bands(x: Tensor, halo: int = 1) -> list[Band]:
    """The bands of a map; the higher the halo, the higher they are at least."""
    height, width = x.shape[-2:]
    count = -(-height * width // (BAND_PIXELS * SHARES)) * SHARES
    return Band(0, height, height).split(max(-(-height // count), LEAST_ROWS * halo))


def projections(
    band: Band, x: Tensor, source: Callable[[Band], Tensor], weights: Sequence[Tensor]
) -> Iterator[tuple[Band, list[Tensor]]]:
    """1x1 convolutions of the same map for the depthwise 3x3 ones that follow, a few rows of a band after the other.

    The last two rows are kept, which the next ones need: no row of a band is computed twice.

    Args:
        band: Of which the depthwise convolutions' results are.
        x: A whole map as wide as what is convolved.
        source: Gives rows of what is convolved.
        weights: Of the 1x1 convolutions.

    Yields:
        A few rows of the band, and the 1x1 convolutions there, with a row more above and below, 0 beyond the picture.
    """
    count = max(FEW_PIXELS // x.shape[-1], 2)
    columns = [weight.flatten(1).t().contiguous() for weight in weights]
    lines: list[Tensor] = []
    for few in band.split(count):
        around = few.wider(1)
        fresh = Band(few.top + 1, around.bottom, band.height) if lines else around
        given = source(fresh)
        if lines:
            for line in lines:
                line[:, :, :2] = line[:, :, count : count + 2]
        else:
            lines = [empty_lines(given, len(weight), count + 2) for weight in weights]
        frame = Band(few.top - 1, few.bottom + 1, band.height)
        for line, column in zip(lines, columns, strict=True):
            put_product(fresh.cut(line, frame), given, column)
            if few.top == 0:
                line[:, :, 0] = 0
            if few.bottom == band.height:
                line[:, :, few.bottom - frame.top] = 0
        yield few, [line[:, :, : few.bottom - few.top + 2] for line in lines]


def depthwise(line: Tensor, kernel: Tensor) -> Tensor:
    """A depthwise 3x3 convolution of rows that have their neighbours above and below."""
    return F.conv2d(line, kernel, padding=(0, 1), groups=len(kernel))


def pixels(x: Tensor) -> Tensor:
    """A channels-last map as a matrix, pixels by channels."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def put_product(into: Tensor, x: Tensor, columns: Tensor) -> None:
    """Writes a 1x1 convolution, its weights transposed, into rows of a channels-last map of the same type."""
    torch.mm(pixels(x), columns, out=into.permute(0, 2, 3, 1).view(-1, into.shape[1]))


def add_product(into: Tensor, x: Tensor, weight: Tensor) -> None:
    """Adds a 1x1 convolution to rows of a channels-last map."""
    if into.dtype == x.dtype:
        into.permute(0, 2, 3, 1).view(-1, into.shape[1]).addmm_(pixels(x), weight.flatten(1).t())
    else:
        into.add_(pointwise(x, weight))


def plus_product(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """``x`` and a 1x1 convolution of ``y``."""
    if x.dtype != y.dtype:
        return x + pointwise(y, weight)
    both = torch.addmm(pixels(x), pixels(y), weight.flatten(1).t())
    return both.view(1, *x.shape[2:], -1).permute(0, 3, 1, 2)


def summed(parts: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """The sums over all parts, in their order, of what each has."""
    return [torch.stack(list(those)).sum(0) for those in zip(*parts, strict=True)]


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


def empty_lines(x: Tensor, channels: int, rows: int) -> Tensor:
    """A channels-last map of a few rows, as wide as another and of its type."""
    return x.new_empty(1, rows, x.shape[-1], channels).permute(0, 3, 1, 2)


def planar(x: Tensor, count: int = 1) -> Tensor:
    """Maps like another that lie channel by channel, at least in float32, as Fourier transforms want them.

    Args:
        x: ``(1, C, H, W)``.
        count: How many, one after the other in the same place.

    Returns:
        ``(count, C, H, W)``.
    """
    _, channels, height, width = x.shape
    dtype = at_least_float32(x[:0]).dtype
    flat = room((count, channels, 1, height * width + SPACING), dtype, torch.contiguous_format)
    return flat[..., : height * width].view(count, channels, height, width)
