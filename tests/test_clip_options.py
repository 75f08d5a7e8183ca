"""Options of pictures that clips have too, and those that they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cmmdl import Fuser
from cmmdl.cli import main
from cmmdl.files.video.opening import open_clip
from cmmdl.models.baselines import BASELINES

from clip_helpers import read_back, times, write_clip  # isort: skip


@pytest.fixture
def clips(tmp_path: Path) -> list[str]:
    for side in ("ir", "vis"):
        write_clip(tmp_path / f"{side}.mp4", times(10, 0.5), infrared=side == "ir")
    return [str(tmp_path / f"{side}.mp4") for side in ("ir", "vis")]


@pytest.mark.parametrize(
    ("options", "model", "keywords"),
    [
        (["--invert-ir"], "mean", {"invert_ir": True}),
        (["--model", "blend", "--share", "0.8"], BASELINES["blend"](share=0.8).eval(), {}),
        (["--model", "edges", "--strength", "2"], BASELINES["edges"](strength=2).eval(), {}),
    ],
)
def test_frames_equal_those_of_the_picture_command(
    clips: list[str], tmp_path: Path, options: list[str], model: object, keywords: dict[str, bool]
) -> None:
    out = tmp_path / "fused.mkv"
    words = options if "--model" in options else [*options, "--model", "mean"]
    result = CliRunner().invoke(main, ["fuse", *clips, "-o", str(out), "--codec", "ffv1", *words])
    assert result.exit_code == 0, result.output
    fuser, found = Fuser(model), read_back(out)[1]  # type: ignore[arg-type]
    sides = [list(open_clip(clip, colour=clip == clips[1], note=print).frames()) for clip in clips]
    for one, two, fused in zip(*sides, found, strict=True):
        np.testing.assert_array_equal(fused, fuser(one.pixels, two.pixels, **keywords))
        plain = Fuser("mean")(one.pixels, two.pixels)
        assert np.abs(fused.astype(int) - plain).mean() > 1


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--ir-palette", "iron"], "--ir-palette is for pictures"),
        (["--palette", "iron"], "--palette is for pictures"),
        (["--share", "0.5"], "--share is a setting of --model blend"),
    ],
)
def test_what_clips_refuse(clips: list[str], tmp_path: Path, option: list[str], words: str) -> None:
    command = ["fuse", *clips, "-o", str(tmp_path / "fused.mkv"), "--model", "mean", *option]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert words in result.output.replace("\n", " ")
