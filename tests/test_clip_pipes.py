"""Clips that can be read only once: named pipes, ``<(…)`` of a shell, standard input by its path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clip_helpers import av, drawn, read_back, times, write_clip  # isort: skip

CMMDL = [sys.executable, "-c", "from cmmdl.cli import main; main()"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pipes as on Linux")


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    write_clip(tmp_path / "ir.mkv", times(25, 1), infrared=True)
    write_clip(tmp_path / "vis.mkv", times(25, 1), infrared=False, sound=1.0)
    return tmp_path


def piped(folder: Path, *arguments: str, through: str = "vis.mkv") -> subprocess.CompletedProcess[str]:
    """Runs a command with a clip in the pipe that ``{}`` stands for."""
    fifo = folder / "pipe.mkv"
    os.mkfifo(fifo)
    feeder = subprocess.Popen(["sh", "-c", f"exec cat '{folder / through}' > '{fifo}'"])
    try:
        words = [word.replace("{}", str(fifo)) for word in arguments]
        return subprocess.run([*CMMDL, *words], capture_output=True, text=True, timeout=60, check=False, cwd=folder)
    finally:
        feeder.kill()
        feeder.wait()


def test_a_named_pipe_is_read_once(clips: Path) -> None:
    done = piped(clips, "fuse", "ir.mkv", "{}", "-o", "fused.mp4", "--model", "max")
    assert done.returncode == 0, done.stderr
    assert "sound left out, since it can be read only once" in done.stderr
    assert read_back(clips / "fused.mp4")[0] == pytest.approx(times(25, 1), abs=0.0011)
    with av.open(str(clips / "fused.mp4")) as container:
        assert not container.streams.audio


def test_deep_infrared_from_a_pipe_takes_its_range_from_the_first_frame(clips: Path) -> None:
    counts = [7000 + 5 * drawn(k / 25, infrared=True).astype(np.uint16) for k in range(25)]
    write_clip(clips / "deep.mkv", times(25, 1), infrared=True, codec="ffv1", pixel="gray16le", frames=counts)
    done = piped(clips, "fuse", "{}", "vis.mkv", "-o", "fused.mp4", "--model", "max", through="deep.mkv")
    assert done.returncode == 0, done.stderr
    assert "(from 1 frame)" in done.stderr
    assert len(read_back(clips / "fused.mp4")[0]) == 25


def test_a_pipe_is_evaluated(clips: Path) -> None:
    done = piped(clips, "evaluate", "vis.mkv", "ir.mkv", "{}", "--metrics", "SF")
    assert done.returncode == 0, done.stderr


def test_what_needs_a_second_look_is_told(clips: Path) -> None:
    noise = list(np.random.default_rng(0).integers(0, 255, (25, 240, 320, 3)).astype(np.uint8))
    write_clip(clips / "vis.mp4", times(25, 1), infrared=False, frames=noise)  # so large that its end is out of sight
    done = piped(clips, "fuse", "ir.mkv", "{}", "-o", "fused.mp4", "--model", "max", through="vis.mp4")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "cannot be read from a pipe" in line
    assert "give the file itself" in line


@pytest.mark.parametrize("path", ["/dev/stdin", "/dev/fd/0"])
def test_standard_input_by_its_path(clips: Path, path: str) -> None:
    feeder = subprocess.Popen(["cat", "vis.mkv"], stdout=subprocess.PIPE, cwd=clips)
    command = [*CMMDL, "fuse", "ir.mkv", path, "-o", "fused.mp4", "--model", "max"]
    done = subprocess.run(command, stdin=feeder.stdout, capture_output=True, text=True, timeout=60, cwd=clips)
    feeder.wait()
    assert done.returncode == 0, done.stderr
    assert len(read_back(clips / "fused.mp4")[0]) == 25
