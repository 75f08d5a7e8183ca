"""The parameter-free fusion methods: contract of all, numbers of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from torch import Tensor

from cmmdl.models import pyramids
from cmmdl.models.baselines import BASELINES, _more_active
from cmmdl.models.camera import BlendFusion, EdgesFusion
from cmmdl.models.classical import GradientTransferFusion, _tv_l1, guided_filter


def picture(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", BASELINES)
@settings(max_examples=12, deadline=None)
@given(height=st.integers(1, 37), width=st.integers(1, 37), seed=st.integers(0, 99))
def test_any_size_gives_the_same_size_in_range(name: str, height: int, width: int, seed: int) -> None:
    ir, vis = picture(2, 1, height, width, seed=seed), picture(2, 1, height, width, seed=seed + 100)
    fused = BASELINES[name]()(ir, vis)
    assert fused.shape == ir.shape
    assert fused.dtype == ir.dtype
    assert 0 <= fused.min() <= fused.max() <= 1


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (33, 47)])
def test_a_picture_fused_with_itself_is_unchanged(name: str, size: tuple[int, int]) -> None:
    vis = picture(1, 1, *size)
    torch.testing.assert_close(BASELINES[name]()(vis, vis), vis, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", BASELINES)
def test_flat_sources_give_a_flat_finite_picture(name: str) -> None:
    fused = BASELINES[name]()(torch.full((1, 1, 20, 30), 0.25), torch.full((1, 1, 20, 30), 0.75))
    assert fused.isfinite().all()
    assert fused.max() - fused.min() < 1e-5


@pytest.mark.parametrize("name", BASELINES)
def test_a_batch_of_two_equals_two_singles(name: str) -> None:
    model = BASELINES[name]()
    ir, vis = picture(2, 1, 21, 18), picture(2, 1, 21, 18, seed=1)
    both = model(ir, vis)
    for k in range(2):
        torch.testing.assert_close(both[k : k + 1], model(ir[k : k + 1], vis[k : k + 1]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", BASELINES)
def test_nothing_to_learn(name: str) -> None:
    assert not BASELINES[name]().state_dict()


def test_mean_and_max_are_what_they_say() -> None:
    ir, vis = torch.tensor([[[[0.2, 0.8]]]]), torch.tensor([[[[0.6, 0.4]]]])
    torch.testing.assert_close(BASELINES["mean"]()(ir, vis), torch.tensor([[[[0.4, 0.6]]]]))
    torch.testing.assert_close(BASELINES["max"]()(ir, vis), torch.tensor([[[[0.6, 0.8]]]]))


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), levels=st.integers(0, 6))
def test_both_transforms_invert_exactly(height: int, width: int, levels: int) -> None:
    source = picture(1, 1, height, width).double()
    laplacian = pyramids.laplacian_merge(*pyramids.laplacian_split(source, levels))
    wavelet = pyramids.wavelet_merge(*pyramids.wavelet_split(source, levels))
    torch.testing.assert_close(laplacian, source, rtol=0, atol=1e-12)
    torch.testing.assert_close(wavelet, source, rtol=0, atol=1e-12)


def test_a_ramp_has_no_detail_away_from_the_border() -> None:
    ramp = torch.arange(32.0).expand(1, 1, 32, 32)
    details, _ = pyramids.laplacian_split(ramp, 1)
    assert details[0][..., 4:-4].abs().max() < 1e-5
    bands, _ = pyramids.wavelet_split(ramp, 1)
    assert all(band[..., :-1].abs().max() < 1e-5 for band in bands[0])


def test_lifting_gives_the_filters_of_the_five_three_wavelet() -> None:
    impulse = torch.zeros(1, 1, 1, 9)
    impulse[..., 4] = 1.0
    low, detail = pyramids._lift(impulse)
    torch.testing.assert_close(low.flatten(), torch.tensor([0, -0.125, 0.75, -0.125, 0]))
    torch.testing.assert_close(detail.flatten(), torch.tensor([0, -0.5, -0.5, 0]))


@pytest.mark.parametrize("name", ["laplacian", "wavelet", "gff", "tif"])
def test_detail_of_either_source_survives(name: str) -> None:
    flat = torch.full((1, 1, 64, 64), 0.5)
    stripes = 0.5 + 0.2 * torch.sin(torch.arange(64.0)).expand(1, 1, 64, 64)
    for fused in (BASELINES[name]()(flat, stripes), BASELINES[name]()(stripes, flat)):
        assert (fused - stripes)[..., 8:-8, 8:-8].abs().max() < 0.05


def test_wavelet_choice_by_windowed_activity_and_majority() -> None:
    """One strong coefficient wins its 3x3 window; the vote takes the window's corners (4 of 9) back."""
    ones, spike = torch.ones(1, 1, 7, 7), torch.zeros(1, 1, 7, 7)
    spike[..., 3, 3] = 2.0
    expected = torch.ones(7, 7)
    expected[3, 2:5] = expected[2:5, 3] = 0.0
    expected[3, 3] = 2.0
    assert torch.equal(_more_active(ones, spike)[0, 0], expected)


def test_guided_filter_against_scipy_inside_the_border() -> None:
    target, guide = picture(1, 1, 40, 50).double(), picture(1, 1, 40, 50, seed=1).double()
    p, i = target[0, 0].numpy(), guide[0, 0].numpy()

    def box(x: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(x, 7)

    slope = (box(i * p) - box(i) * box(p)) / (box(i * i) - box(i) ** 2 + 0.01)
    expected = box(slope) * i + box(box(p) - slope * box(i))
    result = guided_filter(target, guide, 3, 0.01)[0, 0].numpy()
    np.testing.assert_allclose(result[6:-6, 6:-6], expected[6:-6, 6:-6], rtol=1e-10)


def test_total_variation_removes_what_is_small_and_keeps_what_is_large() -> None:
    """A disc of radius r lives through TV-L1 where r > 2 λ, whatever its contrast (Chan, Esedoglu 2005)."""
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    distance = torch.hypot(y - 48, x - 48)
    small, large = (distance < 5).float()[None, None], (distance < 20).float()[None, None]
    assert _tv_l1(small, 4.0, 2000).max() < 0.05
    assert _tv_l1(large, 4.0, 2000)[0, 0, 48, 48] > 0.95


def test_gradient_transfer_keeps_visible_texture_on_infrared_level() -> None:
    texture = 0.1 * picture(1, 1, 64, 64)
    fused = GradientTransferFusion()(torch.full((1, 1, 64, 64), 0.7), 0.2 + texture)
    shifted = 0.2 + texture + (fused - 0.2 - texture).mean()
    torch.testing.assert_close(fused, shifted, rtol=0, atol=5e-3)
    assert abs(float(fused.median()) - 0.7) < 0.01


@pytest.mark.parametrize(("name", "least"), [("adf", 0.996), ("gtf", 0.87)])
@pytest.mark.parametrize("scene", ["carLight", "manCall", "walking"])
def test_close_to_the_benchmarks_own_results(shared: Path, name: str, least: float, scene: str) -> None:
    """VIFB publishes the authors' ADF (fused in colour) and GTF (another solver, stopped early): near, not equal."""

    def read(path: Path) -> Tensor:
        return torch.from_numpy(np.asarray(Image.open(path).convert("L"), dtype=np.float32) / 255)[None, None]

    sample = shared / "data" / "vifb_sample"
    theirs = read(sample / "fused" / name.upper() / f"{scene}.jpg")
    ours = BASELINES[name]()(read(sample / "ir" / f"{scene}.jpg"), read(sample / "vis" / f"{scene}.jpg"))
    assert np.corrcoef(ours.flatten(), theirs.flatten())[0, 1] > least


def test_edges_are_the_visible_ones_where_they_are_stronger() -> None:
    """A step of the visible picture shows on flat infrared; one of the infrared is kept on flat visible."""
    flat, step = torch.full((1, 1, 20, 40), 0.5), torch.full((1, 1, 20, 40), 0.4)
    step[..., 20:] = 0.6
    fused = EdgesFusion(1.0)(flat, step)
    assert fused[0, 0, 10, 20] - fused[0, 0, 10, 19] > 0.15
    torch.testing.assert_close(fused[..., :10], flat[..., :10])  # far from the edge nothing is added
    torch.testing.assert_close(EdgesFusion(3.0)(step, flat), step)
    torch.testing.assert_close(EdgesFusion(0.0)(flat, step), flat)
    for strength in (-0.1, 3.1):
        with pytest.raises(ValueError, match="outside 0 to 3"):
            EdgesFusion(strength)


def test_blend_is_a_share() -> None:
    ir, vis = torch.tensor([[[[0.2, 0.8]]]]), torch.tensor([[[[0.6, 0.4]]]])
    torch.testing.assert_close(BlendFusion(0.25)(ir, vis), torch.tensor([[[[0.5, 0.5]]]]))
    with pytest.raises(ValueError, match="outside 0 to 1"):
        BlendFusion(1.1)
