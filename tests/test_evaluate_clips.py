"""``cmmdl evaluate`` on clips, the convention of video tables, and the benchmark of clips."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from skimage.metrics import structural_similarity

from cmmdl.cli import main
from cmmdl.cli.rates import rate_of
from cmmdl.files.images import write_image
from cmmdl.metrics import METRICS, score

from clip_helpers import drawn, read_back, times, write_clip  # isort: skip


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


def evaluated(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["evaluate", *arguments, "--metrics", "SF"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def rows_of(result: Result) -> dict[str, float]:
    """Warping error by the name of the row."""
    table = result.stdout.split("luma step\n")[1].splitlines()[:-1]
    return {" ".join(line.split()[:-4]): float(line.split()[-4]) for line in table}


@pytest.mark.parametrize("name", ["vis", "ir"])
def test_a_fused_clip_that_is_named_as_a_source_has_its_own_row(clips: list[str], name: str) -> None:
    usual, other = evaluated(*clips), evaluated(*clips[1:], "--method", f"{name}={clips[0]}")
    wanted = rows_of(usual)
    wanted[f"{name} (fused)"] = wanted.pop("fused")
    assert rows_of(other) == wanted


def write_sized(path: Path, size: tuple[int, int], *, infrared: bool, codec: str = "ffv1") -> str:
    pixel = "yuv420p" if codec != "ffv1" else "gray" if infrared else "bgr0"
    write_clip(path, times(10, 1), infrared=infrared, rate=10, codec=codec, pixel=pixel, size=size)
    return str(path)


@pytest.mark.parametrize("size", [(63, 95), (64, 95), (63, 96)])
def test_padding_to_even_sides_is_cut_off(tmp_path: Path, size: tuple[int, int]) -> None:
    ir, vis = (write_sized(tmp_path / f"{side}.mkv", size, infrared=side == "ir") for side in ("ir", "vis"))
    out = [str(tmp_path / name) for name in ("fused.mp4", "whole.mkv")]
    for path, more in zip(out, (["--quality", "1"], ["--codec", "ffv1"]), strict=True):
        assert CliRunner().invoke(main, ["fuse", ir, vis, "-o", path, "--model", "mean", *more]).exit_code == 0
    result = evaluated(ir, vis, "--method", f"even={out[0]}", "--method", f"whole={out[1]}")
    assert f"only {size[1]}x{size[0]} are scored" in result.stderr
    assert result.stderr.count("padded") == 1
    one, two = rows_of(result)["even"], rows_of(result)["whole"]
    assert one == pytest.approx(two, rel=0.2)


@pytest.mark.parametrize("size", [(64, 97), (66, 96), (65, 97), (62, 96)])
def test_other_sizes_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    ir, vis = (write_sized(tmp_path / f"{side}.mkv", (64, 96), infrared=side == "ir") for side in ("ir", "vis"))
    other = write_sized(tmp_path / "fused.mkv", size, infrared=False)
    result = CliRunner().invoke(main, ["evaluate", other, ir, vis, "--metrics", "SF"])
    assert result.exit_code == 1
    assert f"fused is {size[1]}x{size[0]}, the infrared clip 96x64, the visible one 96x64" in result.output


def test_a_fused_clip_that_ends_early_is_told(clips: list[str], tmp_path: Path) -> None:
    out = str(tmp_path / "short.mkv")
    arguments = ["fuse", *clips[1:], "-o", out, "--codec", "ffv1", "--model", "mean", "--duration", "0.5"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    result = evaluated(out, *clips[1:])
    assert "scored 0.00 to 0.40 of 1.00 s of the visible clip: short ends there" in result.stderr
    assert "5 frames; metrics" in result.stdout


def test_bench_names_the_size_of_the_clips_it_is_given(clips: list[str]) -> None:
    arguments = ["bench", "--video", "--model", "max", "--threads", "1", "--clip", *clips[1:]]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.stdout.splitlines()[0].endswith("96x64")


def test_rates_of_two_folders(tmp_path: Path) -> None:
    for side, rate in (("ir", 9), ("vis", 25)):
        (tmp_path / side).mkdir()
        for number in range(2 * rate):
            write_image(tmp_path / side / f"{number:03d}.png", drawn(number / rate, infrared=side == "ir"))
    sides, out = [str(tmp_path / side / "%03d.png") for side in ("ir", "vis")], str(tmp_path / "fused.mkv")
    arguments = ["fuse", *sides, "-o", out, "--codec", "ffv1", "--model", "max", "--fps", "9,25"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert "fused 0" not in result.stderr
    moments, pictures = read_back(Path(out))
    np.testing.assert_allclose(moments, times(25, 2), atol=0.0011)
    for moment, picture in zip(moments, pictures, strict=True):
        near = round(moment * 9) / 9
        np.testing.assert_array_equal(picture.max(-1)[:, int(16 + 20 * near)] > 200, True)
    assert "50 frames" in evaluated(out, *sides, "--fps", "9,25").stdout


@pytest.mark.parametrize("rate", ["0", "-1", "9,0", "9,25,30", "fast", "nan", "inf", ""])
def test_rates_that_are_none(clips: list[str], rate: str) -> None:
    result = CliRunner().invoke(main, ["fuse", *clips[1:], "-o", "a.mp4", "--fps", rate])
    assert result.exit_code == 2
    assert "is no rate; give frames a second, such as 25" in result.output.replace("\n", " ")


def test_rates_as_fractions() -> None:
    assert [rate_of(rate) for rate in (29.97, 23.976, 25, 12.5)] == [
        Fraction(30000, 1001), Fraction(24000, 1001), 25, Fraction(25, 2)
    ]  # fmt: skip
