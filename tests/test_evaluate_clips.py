"""``cmmdl evaluate`` on clips, the convention of video tables, and the benchmark of clips."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from skimage.metrics import structural_similarity

from cmmdl.cli import main
from cmmdl.metrics import METRICS, score

from clip_helpers import drawn, times, write_clip  # isort: skip


@pytest.fixture
def clips(tmp_path: Path) -> list[str]:
    """A fused clip that flickers by 10 levels, and its sources."""
    moments = times(10, 1)
    ir = [drawn(m, infrared=True) for m in moments]
    vis = [drawn(m, infrared=False) for m in moments]
    fused = [np.clip(picture.astype(int) + 10 * (k % 2), 0, 255).astype(np.uint8) for k, picture in enumerate(vis)]
    for name, frames in (("fused", fused), ("ir", ir), ("vis", vis)):
        pixel = "gray" if name == "ir" else "bgr0"
        write_clip(
            tmp_path / f"{name}.mkv", moments, infrared=name == "ir", rate=10, codec="ffv1", pixel=pixel, frames=frames
        )
    return [str(tmp_path / f"{name}.mkv") for name in ("fused", "ir", "vis")]


def test_scores_and_steadiness(clips: list[str], tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    arguments = ["evaluate", *clips, "--metrics", "SF,Qabf", "--every", "3", "--json", str(out)]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "every 3th frame" not in result.stdout
    assert "every 3rd frame" in result.stdout
    assert "not BiSWE" in result.stdout
    found = json.loads(out.read_text())
    assert found["pictures"] == ["0.000", "0.300", "0.600", "0.900"]
    expected = score(drawn(0.6, infrared=False), *sources(0.6), metrics=["SF"])["SF"]
    assert found["methods"]["fused"]["scores"]["0.600"]["SF"] == pytest.approx(expected, rel=1e-6)
    clip = found["steadiness"]["clips"]
    assert clip["fused"]["luma_step"] == pytest.approx(10, abs=0.5)
    assert clip["fused"]["warping_error"] > clip["vis"]["warping_error"] + 5
    assert clip["fused"]["warping_error_by_sf"] == pytest.approx(clip["fused"]["warping_error"] / clip["fused"]["sf"])


def sources(moment: float) -> tuple[np.ndarray, np.ndarray]:
    return drawn(moment, infrared=True), drawn(moment, infrared=False)


def test_bad_use(clips: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["evaluate", *clips[1:], "--baseline", "max"])
    assert (result.exit_code, "fuse the clips with it first" in result.output) == (2, True)
    result = CliRunner().invoke(main, ["evaluate", clips[0], clips[1], str(tmp_path / "none.mkv")])
    assert (result.exit_code, "no such file" in result.output) == (1, True)


def test_vfbench_by_other_means() -> None:
    random = np.random.default_rng(0)
    fused, vis = (random.integers(0, 256, (64, 72, 3)).astype(np.uint8) for _ in range(2))
    ir = random.integers(0, 256, (64, 72)).astype(np.uint8)
    found = score(fused, ir, vis, convention="vfbench")
    assert list(found) == ["VIF", "SSIM", "MI", "Qabf"]
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255, "full": True}
    values = []
    for channel in range(3):
        for source in (ir, vis[..., channel]):
            _, full = structural_similarity(fused[..., channel], source, **options)
            values.append(full[5:-5, 5:-5].mean())
    assert found["SSIM"] == pytest.approx(np.mean(values), abs=1e-5)
    alone = [score(fused[..., c], ir, vis[..., c], metrics=["VIF", "MI", "Qabf"]) for c in range(3)]
    assert found["VIF"] == pytest.approx(np.mean([one["VIF"] for one in alone]) / 2, rel=1e-5)
    assert found["MI"] == pytest.approx(np.mean([one["MI"] for one in alone]), rel=1e-5)
    assert found["Qabf"] == pytest.approx(np.mean([one["Qabf"] for one in alone]), rel=1e-5)
    assert METRICS["MI"].unit == "nat"


def test_bench_of_clips() -> None:
    arguments = ["bench", "--video", "--model", "max", "--size", "64x48", "--frames", "6", "--threads", "1"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()[1:6]] == ["part", "read", "fuse", "write", "all"]
    assert "times the larger of the slowest part" in result.stdout
