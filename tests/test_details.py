"""Small things whose change nobody would see at once: a clip, a quality, an overlap, a rounding, a radius."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn

from cmmdl import Fuser
from cmmdl.errors import UserError
from cmmdl.files import atomic
from cmmdl.files.images import read_image, write_image
from cmmdl.metrics import conventions
from cmmdl.metrics.correlation import correlation
from cmmdl.metrics.gradients import _edges
from cmmdl.metrics.weighted import _moments
from cmmdl.models.classical import GuidedFilterFusion
from cmmdl.scenes import synthetic_pair

RANDOM = np.random.default_rng(3)


class Gives(nn.Module):
    """A model whose result is known: ``value`` everywhere; `asked` tells how often it ran, and for what size."""

    asked: ClassVar[list[tuple[int, ...]]] = []

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = value
        self.asked.clear()

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        self.asked.append(tuple(vis.shape[-2:]))
        return torch.full_like(vis, self.value)


@pytest.mark.parametrize(("value", "level"), [(1.02, 255), (-0.02, 0)])
def test_results_beyond_black_and_white_do_not_wrap_round(value: float, level: int) -> None:
    grey = np.full((4, 5), 100, np.uint8)
    assert np.unique(Fuser(Gives(value))(grey, grey)).tolist() == [level]
    tensor = torch.full((1, 1, 4, 5), 0.4)
    assert Fuser(Gives(value))(tensor, tensor).unique().tolist() == [level / 255]


@pytest.mark.parametrize(
    ("infrared", "given"),
    [
        (np.array([[10.0, 20.0, 30.0, 50.0]], np.float32), (20, 40)),
        (np.array([[5, 20, 30, 200]], np.uint8), (20, 40)),
        (np.array([[-300, 2000, 3000, 9000]], np.int16), (2000, 4000)),
        (np.array([[0, 2000, 3000, 65535]], np.uint16), (2000, 4000)),
    ],
)
def test_values_outside_a_given_range_are_black_or_white(infrared: np.ndarray, given: tuple[float, float]) -> None:
    class Infrared(nn.Module):
        def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
            assert (ir.min(), ir.max()) == (0, 1), "the network never sees anything else"
            return ir

    fused = Fuser(Infrared())(infrared, np.zeros((1, 4), np.uint8), ir_range=given)
    assert fused.tolist() == [[0, 0, 128, 255]]
    visible = Fuser("max")(np.zeros((1, 4), np.uint8), infrared, vis_range=given, depth="uint8")
    assert visible.tolist() == [[0, 0, 128, 255]]


def test_weights_with_another_hash_than_their_card_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from cmmdl.weights import loading, resolving
    from cmmdl.weights.cards import find_card

    card = find_card("cmmdl-rt")
    assert card is not None
    loading.load_model(resolving.Named(card))
    other = ("0" if card.sha256[0] != "0" else "1") + card.sha256[1:]
    with pytest.raises(UserError, match=r"cmmdl-rt\.safetensors: does not match the hash on its card"):
        loading.load_model(resolving.Named(replace(card, sha256=other)))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ulimit -v is asked on Linux")
def test_ulimit_v_counts_as_memory() -> None:
    limit = 512 * 2**20
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))\n"
        "from cmmdl.runtimes.memory import available_bytes\nprint(available_bytes('cpu'))"
    )
    free = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert 0 < free < limit


def test_jpegs_have_quality_95(tmp_path: Path) -> None:
    picture = RANDOM.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    write_image(tmp_path / "ours.jpg", picture)
    Image.fromarray(picture).save(tmp_path / "pillow.jpg", quality=95)
    with Image.open(tmp_path / "ours.jpg") as ours, Image.open(tmp_path / "pillow.jpg") as reference:
        assert ours.quantization == reference.quantization


@pytest.mark.parametrize(("width", "tile", "count"), [(448, 256, 2), (449, 256, 3), (112, 64, 2), (113, 64, 3)])
def test_tiles_overlap_by_64_pixels_or_a_quarter(width: int, tile: int, count: int) -> None:
    model = Gives()
    picture = np.zeros((20, width), np.uint8)
    Fuser(model, tile=tile)(picture, picture)
    assert model.asked == [(20, tile)] * count


def test_temporary_files_of_other_hosts_and_of_running_processes_stay(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = atomic._host()
    names = {
        f".a.png.{host}-{gone.pid}-0123456789abcdef.cmmdl-tmp": False,
        f".b.png.not{host}-{gone.pid}-0123456789abcdef.cmmdl-tmp": True,
        f".c.png.{host}-{os.getpid()}-0123456789abcdef.cmmdl-tmp": True,
        f".d.png.{host}-word-0123456789abcdef.cmmdl-tmp": True,
        f"e.png.{host}-{gone.pid}-0123456789abcdef.cmmdl-tmp": True,
        ".f.png": True,
    }
    for name in names:
        (tmp_path / name).touch()
    atomic.remove_stale(tmp_path)
    assert {name: (tmp_path / name).exists() for name in names} == names


def test_matlabs_grey_is_rounded_half_up() -> None:
    primaries = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [1, 1, 0], [255, 255, 255]]], np.uint8)
    assert conventions._matlab_grey(primaries).tolist() == [[76, 150, 29, 1, 255]]
    halves = np.array([[[0.5, 0.5, 0.5], [1.5, 1.5, 1.5], [2.5, 2.5, 2.5]]]) + 1e-9
    assert conventions._matlab_grey(halves).tolist() == [[1, 2, 3]]
    grey = np.array([[7]], np.uint8)
    assert conventions._matlab_grey(grey) is grey


def test_contrast_of_a_hundredth_of_a_level_is_structure_and_a_ten_thousandth_is_none() -> None:
    x = torch.rand(1, 1, 40, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.5
    for amplitude, some in ((0.05, True), (1e-4, False)):
        faint = 100 + amplitude * x
        assert correlation(faint, x).item() == pytest.approx(1.0 if some else 0.0)
        assert bool((_moments(faint, 8)[1] > 0).all()) == some
        _, angle = _edges(nn.functional.pad(faint, (1, 1, 1, 1), mode="replicate"))
        assert bool((angle[..., 1:-1, 1:-1].abs() < 1.5707).any()) == some


def test_guided_filter_fusion_against_scipy() -> None:
    """Every radius and ε of the paper, with means over the part of a window that lies inside the picture."""
    ir, vis = (picture.astype(np.float64) / 255 for picture in synthetic_pair(97, 110, seed=4))
    vis = vis.mean(2) if vis.ndim == 3 else vis

    def box(x: np.ndarray, radius: int) -> np.ndarray:
        size = 2 * radius + 1
        sums = ndimage.uniform_filter(x, size, mode="constant")
        return sums / ndimage.uniform_filter(np.ones_like(x), size, mode="constant")

    def guided(p: np.ndarray, i: np.ndarray, r: int, eps: float) -> np.ndarray:
        slope = (box(i * p, r) - box(i, r) * box(p, r)) / (np.maximum(box(i * i, r) - box(i, r) ** 2, 0) + eps)
        return np.clip(box(slope, r) * i + box(box(p, r) - slope * box(i, r), r), 0, 1)

    def saliency(x: np.ndarray) -> np.ndarray:
        edges = np.abs(ndimage.laplace(x, mode="nearest"))
        return ndimage.gaussian_filter(edges, 5, truncate=1.0, mode="nearest")

    s = saliency(ir), saliency(vis)
    maps = (s[0] >= s[1]).astype(float), (s[1] >= s[0]).astype(float)
    expected = np.zeros_like(ir)
    for layers, r, eps in (
        ((box(ir, 15), box(vis, 15)), 45, 0.3),
        ((ir - box(ir, 15), vis - box(vis, 15)), 7, 1e-6),
    ):
        a, b = guided(maps[0], ir, r, eps), guided(maps[1], vis, r, eps)
        share = np.where(a + b > 0, a / np.where(a + b > 0, a + b, 1), 0.5)
        expected += share * layers[0] + (1 - share) * layers[1]
    result = GuidedFilterFusion()(*(torch.from_numpy(x)[None, None] for x in (ir, vis)))[0, 0].numpy()
    np.testing.assert_allclose(result, np.clip(expected, 0, 1), atol=1e-6)


def test_onnx_runtime_gets_the_threads_that_were_asked_for() -> None:
    pytest.importorskip("onnxruntime")
    for threads in (1, 3):
        fuser: Any = Fuser("cmmdl-rt", backend="onnxruntime", threads=threads)
        assert fuser.backend.session.get_session_options().intra_op_num_threads == threads
        assert f"{threads} threads" in fuser.backend.describe()


def test_a_float_tiff_whose_zero_is_white_is_refused(tmp_path: Path) -> None:
    import tifffile

    levels = np.linspace(0, 1, 20, dtype=np.float32).reshape(4, 5)
    tifffile.imwrite(tmp_path / "float.tif", levels, photometric="miniswhite")
    with pytest.raises(UserError, match=r"float\.tif says that 0 is white in float32"):
        read_image(tmp_path / "float.tif")
    whole = (levels * 65535).astype(np.uint16)
    tifffile.imwrite(tmp_path / "whole.tif", whole, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "whole.tif"), 65535 - whole)


def test_a_png_without_a_header_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    with pytest.raises(UserError, match=r"a\.png is truncated or damaged \(its header is broken\)"):
        read_image(tmp_path / "a.png")


def test_float_tiffs_are_exact_and_tiffs_are_what_others_read(tmp_path: Path) -> None:
    for shape in ((6, 7), (6, 7, 3)):
        floats = RANDOM.random(shape).astype(np.float32)
        write_image(tmp_path / "f.tif", floats)
        np.testing.assert_array_equal(read_image(tmp_path / "f.tif"), floats)
        whole = RANDOM.integers(0, 256, shape).astype(np.uint8)
        write_image(tmp_path / "w.tif", whole)
        with Image.open(tmp_path / "w.tif") as other:
            np.testing.assert_array_equal(np.asarray(other), whole)


def test_spatial_frequency_of_vifb_takes_channels_side_by_side() -> None:
    picture = RANDOM.integers(0, 256, (9, 11, 3)).astype(np.uint8)
    wide = np.concatenate(list(np.moveaxis(picture, 2, 0)), axis=1).astype(float)
    expected = np.sqrt((np.sum(np.diff(wide, axis=0) ** 2) + np.sum(np.diff(wide, axis=1) ** 2)) / wide.size)
    found = conventions.score(picture, picture[..., 0], picture, convention="vifb", metrics=["SF"])
    assert found["SF"] == pytest.approx(expected)


class TestTraining:
    """Details of training; needs its extra."""

    pytestmark = pytest.mark.skipif(
        not all(__import__("importlib.util").util.find_spec(name) for name in ("pydantic", "accelerate")),
        reason="needs cmmdl[train]",
    )

    def test_gradients_are_clipped(self, tmp_path: Path) -> None:
        """With the norm cut far below Adam's ε nothing moves; without it every weight moves by the learning rate."""
        from cmmdl.training import loop
        from cmmdl.training.checkpoint import newest_checkpoint
        from cmmdl.training.setup import build_network
        from training_helpers import tiny_config, write_pairs

        pairs, moved = write_pairs(tmp_path), {}
        options = ("run.steps=2", "optim.warmup=0", "optim.weight_decay=0")
        for clip in (1e-14, 0.0):
            config = tiny_config(tmp_path / f"run{clip:g}", pairs, *options, f"optim.clip={clip!r}")
            before = dict(build_network(config, None)[1].named_parameters())
            loop.train(config)
            after = newest_checkpoint(config.run.folder)["model"]
            moved[clip] = max(float((after[name] - start).detach().abs().max()) for name, start in before.items())
        assert moved[1e-14] < 1e-6
        assert moved[0.0] > 1e-4

    def test_validation_scores_what_an_8_bit_file_would_hold(self) -> None:
        from cmmdl.training.validation import fuse

        plane = torch.zeros(1, 1, 2, 2)
        for value, level in ((0.5, 128), (0.5017, 128), (1.2, 255), (-0.2, 0)):
            assert (fuse(Gives(value), plane, plane) == torch.tensor(level / 255)).all()

    def test_crops_are_scaled_evenly_up_and_down(self, tmp_path: Path) -> None:
        """Between a quarter and four times the size, half of the crops are enlarged and half are shrunk."""
        import re

        from cmmdl.training.config import DataConfig, Source
        from cmmdl.training.data import Crops
        from training_helpers import write_pairs

        folder = write_pairs(tmp_path, 1)
        source = Source(ir=folder / "ir", vis=folder / "vis")
        crops = Crops(DataConfig(sources=(source,), crop=16, scale=(0.25, 4.0), min_contrast=0), 0)
        sides = [int(re.search(r"\((\d+)x", crops[n]["name"])[1]) for n in range(300)]
        scales = np.log2(16 / np.array(sides))
        assert abs(np.median(scales)) < 0.3  # 1.1 if the scale itself were uniform
        assert abs(np.mean(np.abs(scales) < 1) - 0.5) < 0.1
        assert scales.min() < -1.8
        assert scales.max() > 1.8

    def test_shrinking_takes_means_of_areas_and_enlarging_is_cubic(self) -> None:
        from cmmdl.training.data import resize

        planes = RANDOM.integers(0, 256, (3, 32, 32)).astype(np.uint8)
        means = planes.reshape(3, 8, 4, 8, 4).mean((2, 4)) / 255
        np.testing.assert_allclose(resize(planes, 8), means, atol=1e-6)
        step = np.repeat(np.array([[50] * 8 + [200] * 8], np.uint8), 16, axis=0)
        larger = resize(np.stack([step] * 3), 64)
        assert larger.min() < 49 / 255, "a cubic overshoots at an edge, as linear interpolation would not"
        assert larger.max() > 201 / 255

    @pytest.mark.parametrize("margin", [0, 6])
    def test_the_frame_is_four_pixels_wide_and_the_margin_more(self, margin: int) -> None:
        from cmmdl.training import losses

        ir = vis = torch.full((1, 1, 40, 50), 0.5)
        inside, outside = ir.clone(), ir.clone()
        outside[..., margin + 3, 25] = inside[..., margin + 4, 25] = 0.9
        values = [losses.fusion_loss(x, ir, vis, {"frame": 1.0}, margin=margin)[0].item() for x in (inside, outside)]
        rim = 40 * 50 - (40 - 2 * (margin + 4)) * (50 - 2 * (margin + 4))
        assert values == [0, pytest.approx(0.4 / rim)]


def test_metrics_are_there_without_an_import_of_their_own() -> None:
    code = "import cmmdl; print(cmmdl.metrics.ssim.__name__, 'torch' in __import__('sys').modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["ssim", "True"]
    code = "import cmmdl, sys; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False"]
