"""Any kind of picture in, the same kind out, in the size, depth and colour that were promised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

import cmmdl.fusion.fuser
import cmmdl.runtimes.memory
from cmmdl import Fuser, UserError
from cmmdl.files.images import write_image
from cmmdl.models.cmmdl import CMMDL, CMMDLConfig
from cmmdl.scenes import synthetic_pair

RANDOM = np.random.default_rng(3)
MEAN = Fuser("mean")


class VisibleOnly(nn.Module):
    """Gives the second picture back."""

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        return vis


SECOND = Fuser(VisibleOnly())


def numbers(dtype: Any, *shape: int) -> np.ndarray:
    if np.dtype(dtype).kind == "f":
        return RANDOM.random(shape).astype(dtype)
    return RANDOM.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def full(dtype: Any) -> float:
    return 1.0 if np.dtype(dtype).kind == "f" else float(np.iinfo(dtype).max)


DTYPES = st.sampled_from([np.uint8, np.uint16, np.float32, np.float64])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), DTYPES, DTYPES)
def test_grey_arrays_of_any_size_and_type(height: int, width: int, one: Any, two: Any) -> None:
    ir, vis = numbers(one, height, width), numbers(two, height, width)
    fused = MEAN(ir, vis)
    assert isinstance(fused, np.ndarray)
    assert (fused.shape, fused.dtype) == (vis.shape, vis.dtype)
    expected = (ir / full(one) + vis / full(two)) / 2 * full(two)
    np.testing.assert_allclose(
        fused, expected, atol=full(two) * 1e-6 if fused.dtype.kind == "f" else 0.51 + full(two) * 1e-7
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), DTYPES)
def test_what_is_not_changed_comes_back(height: int, width: int, dtype: Any) -> None:
    vis = numbers(dtype, height, width, 3)
    fused = SECOND(numbers(np.uint8, height, width), vis)
    assert isinstance(fused, np.ndarray)
    assert (fused.shape, fused.dtype) == (vis.shape, vis.dtype)
    np.testing.assert_allclose(
        fused, vis, atol=1e-5 if fused.dtype.kind == "f" else {255: 0, 65535: 1}[int(full(dtype))]
    )


@pytest.mark.parametrize("shape", [(5, 7), (1, 5, 7), (3, 5, 7), (2, 1, 5, 7), (2, 3, 5, 7), (1, 1, 1, 1), (1, 1)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32, torch.float64, torch.float16])
def test_tensors_of_any_shape(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    peak = 1 if dtype.is_floating_point else torch.iinfo(dtype).max
    vis = (torch.rand(shape, dtype=torch.float64) * peak).to(dtype)
    fused = SECOND(torch.zeros(shape), vis)
    assert isinstance(fused, Tensor)
    assert (fused.shape, fused.dtype) == (vis.shape, dtype)
    torch.testing.assert_close(fused.double(), vis.double(), atol=1e-3 if dtype.is_floating_point else 1, rtol=0)
    assert not fused.is_inference()


def test_pillow_in_pillow_out() -> None:
    for mode, colour in (("L", 90), ("RGB", (90, 20, 10)), ("F", 0.25), ("I;16", 9000)):
        vis = Image.new(mode, (7, 5), colour)
        fused = SECOND(Image.new("L", (7, 5)), vis)
        assert isinstance(fused, Image.Image)
        assert (fused.mode, fused.size, fused.getpixel((3, 3))) == (mode, (7, 5), pytest.approx(colour))


def test_pillow_has_no_deep_colour() -> None:
    with pytest.raises(UserError, match="uint8"):
        MEAN(Image.new("L", (4, 4)), Image.new("RGB", (4, 4), (9, 0, 0)), depth="uint16")


@pytest.mark.parametrize("kind", ["array", "tensor", "pillow", "path"])
def test_mixed_kinds_give_the_visible_ones(tmp_path: Path, kind: str) -> None:
    array = numbers(np.uint8, 4, 6)
    write_image(tmp_path / "a.png", array)
    kinds: dict[str, Any] = {
        "array": array,
        "tensor": torch.from_numpy(array),
        "pillow": Image.fromarray(array),
        "path": tmp_path / "a.png",
    }
    types = {"array": np.ndarray, "tensor": Tensor, "pillow": Image.Image, "path": np.ndarray}
    for ir in kinds.values():
        fused = MEAN(ir, kinds[kind])
        assert isinstance(fused, types[kind])
        np.testing.assert_array_equal(np.asarray(fused), array)
    np.testing.assert_array_equal(np.asarray(MEAN(str(tmp_path / "a.png"), kinds[kind])), array)


def ycrcb(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb).astype(int)


def test_colour_is_kept_and_luma_fused() -> None:
    vis = RANDOM.integers(90, 160, (20, 30, 3)).astype(np.uint8)
    ir = RANDOM.integers(90, 160, (20, 30)).astype(np.uint8)
    for fused in (MEAN(ir, vis), MEAN(vis, ir)):  # the coloured one may be on either side
        assert isinstance(fused, np.ndarray)
        assert fused.shape == (20, 30, 3)
        assert np.abs(ycrcb(fused)[..., 1:] - ycrcb(vis)[..., 1:]).max() <= 1
        assert np.abs(ycrcb(fused)[..., 0] - (ycrcb(vis)[..., 0] + ir.astype(int)) / 2).max() <= 1.5


def test_of_two_coloured_ones_an_option_decides() -> None:
    red, blue = np.zeros((2, 4, 4, 3), np.uint8)
    red[..., 0], blue[..., 2] = 200, 200
    for chroma, source in (("vis", blue), ("ir", red)):
        fused = MEAN(red, blue, chroma=chroma)
        assert isinstance(fused, np.ndarray)
        assert fused[0, 0].argmax() == source[0, 0].argmax()
    with pytest.raises(UserError, match="chroma 'both'"):
        MEAN(red, blue, chroma="both")


def test_three_equal_channels_count_as_grey() -> None:
    grey, colour = numbers(np.uint8, 6, 6), RANDOM.integers(90, 160, (6, 6, 3)).astype(np.uint8)
    three = np.repeat(grey[..., None], 3, axis=2)
    fused = MEAN(grey, three)
    assert isinstance(fused, np.ndarray)
    np.testing.assert_array_equal(fused, three)
    coloured = MEAN(colour, three)  # so the other one gives the chroma, although the visible has three channels
    assert isinstance(coloured, np.ndarray)
    assert coloured.std(-1).mean() > 5


def test_depth_is_the_visible_ones_unless_asked() -> None:
    ir, vis = numbers(np.uint16, 5, 5), numbers(np.uint8, 5, 5)
    whites = {"uint8": 255, "uint16": 65535, "float32": 1.0}
    for depth, white in whites.items():
        fused = SECOND(ir, vis, depth=depth)
        assert isinstance(fused, np.ndarray)
        assert fused.dtype == depth
        np.testing.assert_allclose(fused / white, vis / 255, atol=1e-5)
    with pytest.raises(UserError, match="uint8, uint16, float32"):
        MEAN(ir, vis, depth="int4")


def test_explicit_ranges() -> None:
    celsius = np.array([[10.0, 20, 30, 40, 50]])
    fused = Fuser("max")(celsius, np.zeros((1, 5), np.uint8), ir_range=(20, 40))
    np.testing.assert_array_equal(fused, [[0, 0, 128, 255, 255]])
    twelve_bits = np.array([[0, 4095]], np.uint16)
    np.testing.assert_array_equal(SECOND(twelve_bits, twelve_bits, vis_range=(0, 4095)), [[0, 65535]])
    wide = np.array([[0, 255]], np.int64)
    np.testing.assert_array_equal(SECOND(wide, wide, ir_range=(0, 255), vis_range=(0, 255)), np.float32([[0, 1]]))
    with pytest.raises(UserError, match="range 3 to 3 is empty"):
        MEAN(celsius, celsius, ir_range=(3, 3))


@pytest.mark.parametrize(
    ("ir", "words"),
    [
        (np.float32([[0, 255.0]]), "infrared picture holds floats from 0 to 255, outside"),
        (np.float32([[-0.5, 0.0]]), "from -0.5 to 0"),
        (np.float32([[0.2, np.nan]]), "NaN"),
        (np.float64([[0.2, np.inf]]), "NaN or infinite"),
        (np.int64([[0, 255]]), "int64.*range"),
        (np.zeros((2, 2), complex), "complex128"),
        (np.zeros((2, 2, 3, 1)), r"\(2, 2, 3, 1\)"),
        (np.zeros((3, 2, 7)), "7 channels"),
        (np.zeros((0, 2)), "not empty"),
        (torch.zeros(1, 1, 1, 2, 2), r"\(1, 1, 1, 2, 2\)"),
        (np.zeros((2, 1)), r"infrared picture is 1x2.*visible picture is 2x1"),
        (torch.zeros(2, 1, 1, 2), "batch of 2"),
        (7, "int"),
    ],
)
def test_what_cannot_be_fused_is_named(ir: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        MEAN(ir, np.zeros((1, 2), np.uint8))


def test_other_size_is_resized_on_request() -> None:
    ir, _ = synthetic_pair(40, 60, 0)
    half = cv2.resize(ir, (30, 20), interpolation=cv2.INTER_AREA)
    fused = Fuser("max")(half, np.zeros_like(ir), resize_ir=True)
    assert isinstance(fused, np.ndarray)
    assert fused.shape == ir.shape
    assert np.abs(fused.astype(int) - ir).mean() < 8
    down = Fuser("max")(ir, np.zeros_like(half), resize_ir=True)
    assert isinstance(down, np.ndarray)
    assert np.abs(down.astype(int) - half).mean() < 4


def test_stretch_is_off_by_default() -> None:
    ir, vis = np.uint8([[50, 100]]), np.uint8([[50, 100]])
    np.testing.assert_array_equal(MEAN(ir, vis), [[50, 100]])
    np.testing.assert_array_equal(Fuser("mean", stretch=True)(ir, vis), [[0, 255]])


def test_alpha_is_dropped_with_a_note() -> None:
    notes = list[str]()
    fused = Fuser(VisibleOnly(), note=notes.append)(np.zeros((4, 4), np.uint8), numbers(np.uint8, 4, 4, 4))
    assert isinstance(fused, np.ndarray)
    assert fused.shape == (4, 4, 3)
    assert "visible picture: alpha dropped (4 channels)" in notes[0]
    with pytest.warns(UserWarning, match="alpha dropped"):
        MEAN(Image.new("LA", (3, 3)), Image.new("L", (3, 3)))


def test_inputs_are_not_changed() -> None:
    ir, vis = numbers(np.float32, 6, 6), numbers(np.float32, 6, 6, 3)
    copies = ir.copy(), vis.copy()
    Fuser("mean", stretch=True)(ir, vis)
    np.testing.assert_array_equal(ir, copies[0])
    np.testing.assert_array_equal(vis, copies[1])
    tensor = torch.rand(4, 4, requires_grad=True)
    MEAN(tensor, tensor)
    vis.flags.writeable = False
    np.testing.assert_array_equal(MEAN(vis[::-1], vis[::-1]).shape, vis.shape)


def test_a_module_is_copied_and_put_into_eval_mode() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
            return self.drop(vis)

    noisy = Noisy()
    vis = numbers(np.uint8, 9, 9)
    np.testing.assert_array_equal(Fuser(noisy)(vis, vis), vis)
    assert noisy.training


def test_a_model_that_gives_nan_is_named() -> None:
    class Broken(nn.Module):
        def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
            return vis / 0 * 0

    with pytest.raises(UserError, match="the model gave NaN"):
        Fuser(Broken())(np.zeros((2, 2)), np.zeros((2, 2)))


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
def test_precisions(precision: Any) -> None:
    class Conv(nn.Conv2d):
        seen: torch.dtype

        def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
            result = super().forward(vis)
            type(self).seen = result.dtype
            return result

    conv = Conv(1, 1, 1, bias=False)
    nn.init.ones_(conv.weight)
    vis = numbers(np.uint8, 8, 8)
    fused = Fuser(conv, precision=precision)(vis, vis)
    assert str(Conv.seen) == f"torch.{precision}"
    np.testing.assert_allclose(fused, vis, atol=1.5)
    assert conv.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "cuda:77"}, "cuda:77.*doctor"),
        ({"device": "gpu"}, "'gpu'"),
        ({"precision": "half"}, "'half'.*bfloat16"),
        ({"tile": 0}, "--tile"),
        ({"model": "no-such-model"}, "no-such-model"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Fuser(**{"model": "mean", **options})


class Recorder(nn.Module):
    """The mean; remembers which sizes it was given, and fails like torch where they are too large."""

    def __init__(self, limit: int | None = None) -> None:
        super().__init__()
        self.limit = limit
        self.sizes = list[tuple[int, ...]]()

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        if self.limit and vis.numel() > self.limit:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")
        self.sizes.append(tuple(vis.shape))
        return (ir + vis) / 2


def test_tiles_on_request() -> None:
    ir, vis = synthetic_pair(150, 200, 1)
    expected = MEAN(ir, vis).astype(int)
    fuser = Fuser(Recorder(), tile=64)
    np.testing.assert_allclose(fuser(ir, vis), expected, atol=1)  # a half may round either way
    assert set(fuser.model.sizes) == {(1, 1, 64, 64)}
    whole = Fuser(Recorder(), tile=200)
    whole(ir, vis)
    assert whole.model.sizes == [(1, 1, 150, 200)]


def test_short_memory_means_tiles_and_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    ir, vis = synthetic_pair(150, 400, 1)
    expected = MEAN(ir, vis).astype(int)
    notes = list[str]()
    fuser = Fuser(Recorder(), note=notes.append)
    room = int(160 * 160 * cmmdl.runtimes.memory.BYTES_PER_PIXEL_WITHOUT_WEIGHTS / cmmdl.fusion.fuser.SHARE) + 999
    monkeypatch.setattr(cmmdl.fusion.fuser, "available_bytes", lambda device: room)
    np.testing.assert_allclose(fuser(ir, vis), expected, atol=1)  # a half may round either way
    assert set(fuser.model.sizes) == {(1, 1, 150, 160)}
    assert notes == ["400x150 does not fit into the free memory: fused in 3 tiles of 160 pixels"]
    fuser.model.sizes.clear()
    fuser(torch.rand(3, 1, 100, 150), torch.rand(3, 1, 100, 150))  # each alone fits, the batch does not
    assert fuser.model.sizes == [(1, 1, 100, 150)] * 3


def test_a_failed_allocation_means_smaller_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    ir, vis = synthetic_pair(300, 400, 1)
    expected = MEAN(ir, vis).astype(int)
    notes = list[str]()
    fuser = Fuser(Recorder(limit=160 * 160), note=notes.append)
    np.testing.assert_allclose(fuser(ir, vis), expected, atol=1)  # a half may round either way
    assert set(fuser.model.sizes) == {(1, 1, 128, 128)}
    assert "tiles of 200 pixels" in notes[0]
    for tile in (None, 256):
        with pytest.raises(UserError, match=r"not enough memory.*--tile"):
            Fuser(Recorder(limit=100), tile=tile, note=notes.append)(ir, vis)


def test_memory_that_ends_while_tiles_are_joined_means_smaller_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine, tried = cmmdl.fusion.fuser.fuse_tiled, list[int]()

    def failing(fuse: Any, ir: Any, vis: Any, *, tile: int, overlap: int) -> Any:
        tried.append(tile)
        if len(tried) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return genuine(fuse, ir, vis, tile=tile, overlap=overlap)

    monkeypatch.setattr(cmmdl.fusion.fuser, "fuse_tiled", failing)
    ir, vis = synthetic_pair(300, 400, 1)
    fused = Fuser(Recorder(limit=200 * 200), note=lambda note: None)(ir, vis)
    np.testing.assert_allclose(fused, MEAN(ir, vis).astype(int), atol=1)
    assert tried == [200, 128]


def test_pictures_of_many_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cmmdl.files.pictures, "_BAND", 100)
    ir, vis = synthetic_pair(41, 33, 1)
    in_bands = MEAN(ir, vis)
    monkeypatch.undo()
    np.testing.assert_array_equal(in_bands, MEAN(ir, vis))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 1), (13, 17), (40, 33)])
def test_the_network_takes_any_size(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ir, vis = synthetic_pair(*size, 2)
    network = CMMDL(CMMDLConfig(width=16, blocks=1, heads=2))
    whole = Fuser(network)(ir, vis)
    tiled = Fuser(network, tile=16)(ir, vis)
    assert isinstance(whole, np.ndarray)
    assert isinstance(tiled, np.ndarray)
    assert whole.shape == tiled.shape == (*size, 3)
    if max(size) <= 16:
        np.testing.assert_array_equal(whole, tiled)
