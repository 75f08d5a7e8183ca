"""How runs on clips end: what is said, as lines or as JSON, what is left in a folder, and times of live sources."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cmmdl.cli import main
from cmmdl.files.images import write_image
from cmmdl.files.video.clip import Facts, Frame
from cmmdl.files.video.codecs import Encoding
from cmmdl.files.video.encoding import VideoWriter
from cmmdl.fusion.live import on_arrival

from clip_helpers import HEIGHT, WIDTH, av, drawn, read_back, times, write_clip  # isort: skip

CMMDL = [sys.executable, "-c", "from cmmdl.cli import main; main()"]


@pytest.fixture(autouse=True)
def keep_the_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command may set its process's allocator; this process is shared with other tests."""
    monkeypatch.setattr("cmmdl.models.allocator.reuse_memory", lambda: True)


def fuse(*arguments: object) -> Result:
    command = ["fuse", *map(str, arguments), "--model", "max", "--no-check"]
    return CliRunner().invoke(main, command, catch_exceptions=False)


@pytest.fixture
def clips(tmp_path: Path) -> tuple[Path, Path]:
    """Half a second of a scene, with sound."""
    write_clip(tmp_path / "ir.mp4", times(10, 0.5), infrared=True, rate=10)
    write_clip(tmp_path / "vis.mp4", times(20, 0.5), infrared=False, rate=20, sound=0.5)
    return tmp_path / "ir.mp4", tmp_path / "vis.mp4"


def test_json(clips: tuple[Path, Path], tmp_path: Path) -> None:
    result = fuse(*clips, "-o", tmp_path / "fused.webm", "--json")
    told = json.loads(result.stdout)
    assert (told["output"], told["frames"]) == (str(tmp_path / "fused.webm"), 10)
    assert 0 < told["seconds"] < 60
    assert "max" in told["on"]
    assert any("aac sound does not go into .webm" in line for line in told["notes"])
    assert set(told) == {"output", "frames", "seconds", "on", "notes"}
    skipped = json.loads(fuse(*clips, "-o", tmp_path / "fused.webm", "--json", "--skip-existing").stdout)
    assert skipped == {"output": str(tmp_path / "fused.webm"), "skipped": True}
    assert json.loads(fuse(*clips, "-o", tmp_path / "frames", "--json").stdout)["frames"] == 10
    assert fuse(*clips, "-o", "-", "--json").exit_code == 2


def test_frames_of_an_earlier_run_do_not_stay_among_new_ones(clips: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    assert fuse(*clips, "-o", folder).exit_code == 0
    others = ["notes.txt", "1.png", "0000001.png", "cover.png", "000003.txt"]
    for name in others:
        (folder / name).write_bytes(b"kept")
    again = fuse(*clips, "-o", folder, "--overwrite", "--duration", "0.24", "--format", "jpg")
    assert again.exit_code == 0, again.output
    assert f"{folder}: frames of an earlier run were removed: 10" in again.stderr
    assert {file.name for file in folder.iterdir()} == {*others, *(f"{k:06d}.jpg" for k in range(5))}
    assert "were removed" not in fuse(*clips, "-o", folder, "--overwrite", "--format", "jpg").stderr
    assert "were removed: 7" in fuse(*clips, "-o", folder, "--overwrite", "--format", "jpg", "--duration", 0.12).stderr


def test_after_an_error_those_of_an_earlier_run_are_told(tmp_path: Path) -> None:
    from cmmdl.files.video.sinks import FolderWriter

    for number in (0, 1, 2):
        write_image(tmp_path / f"{number:06d}.png", drawn(0, infrared=True))
    sink = FolderWriter(tmp_path, ".png", replace=True)
    sink.write(Frame(Fraction(0), drawn(0, infrared=True)))
    sink.waiting.pop().result()
    assert sink.abandon() == f"1 frames are in {tmp_path}; those of an earlier run are there as well: 2"
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
@pytest.mark.parametrize("name", ["fused.mp4", "frames"])
def test_a_signal_before_the_first_frame(clips: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    early = "import os, signal, cmmdl.fusion.clip as clip\nfitting = clip.fixed_range\n"
    early += "def come(*given):\n    os.kill(os.getpid(), signal.SIGINT)\n    return fitting(*given)\n"
    early += "clip.fixed_range = come\nfrom cmmdl.cli import main\nmain()"
    command = [sys.executable, "-c", early, "fuse", *map(str, clips), "-o", str(tmp_path / name), "--model", "max"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    assert "stopped; nothing was written" in done.stderr
    assert "frames" not in done.stdout
    assert not any(file.is_file() for file in tmp_path.rglob("*") if file not in clips)


@pytest.mark.skipif(os.name != "posix", reason="pipes as on POSIX")
@pytest.mark.parametrize("through", ["-", "pipe"])
def test_sound_of_a_pipe_is_told(clips: tuple[Path, Path], tmp_path: Path, through: str) -> None:
    write_clip(tmp_path / "vis.ts", times(20, 0.5), infrared=False, rate=20, sound=0.5)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    where = "" if through == "-" else f" > {shlex.quote(str(pipe))}"
    feed = subprocess.Popen(["sh", "-c", f"cat {shlex.quote(str(tmp_path / 'vis.ts'))}{where}"], stdout=subprocess.PIPE)
    side = "-" if through == "-" else str(pipe)
    command = [*CMMDL, "fuse", str(clips[0]), side, "-o", str(tmp_path / "fused.mp4"), "--model", "max", "--no-check"]
    done = subprocess.run([*command, "-q"], stdin=feed.stdout, capture_output=True, text=True, check=False, timeout=120)
    feed.kill()
    feed.wait()
    assert done.returncode == 0, done.stderr
    assert "sound left out, since it can be read only once" in done.stderr
    assert len(read_back(tmp_path / "fused.mp4")[0]) == 10


def test_metadata_of_either_side_or_none(clips: tuple[Path, Path], tmp_path: Path) -> None:
    for clip, title in zip(clips, ("warm", "bright"), strict=True):
        whole = clip.with_suffix(".mkv")
        with av.open(str(clip)) as source, av.open(str(whole), "w") as target:
            target.metadata["title"] = title
            track = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.size:
                    packet.stream = track
                    target.mux(packet)
    sides = [clip.with_suffix(".mkv") for clip in clips]
    for whose, title in (("vis", "bright"), ("ir", "warm"), ("none", None)):
        assert fuse(*sides, "-o", tmp_path / "fused.mp4", "--metadata", whose, "--overwrite").exit_code == 0
        with av.open(str(tmp_path / "fused.mp4")) as container:
            assert container.metadata.get("title") == title


def test_the_system_says_what_is_wrong_with_a_place(clips: tuple[Path, Path]) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("needs /proc")
    result = fuse(*clips, "-o", "/proc/fused.mp4")
    assert result.exit_code == 1
    assert "there is no folder" not in result.output
    assert "No such file or directory" in result.output or "no permission" in result.output


def test_arrivals_within_one_tick_of_the_camera(tmp_path: Path) -> None:
    """A camera of 10 frames a second whose pipe gives several at once."""
    camera = Facts("camera", HEIGHT, WIDTH, rate=Fraction(10), time_base=Fraction(1, 10), live=True)
    moments = [Fraction(k, 1000) for k in (0, 3, 4, 52, 53, 90, 300)]
    like = on_arrival(replace(camera, live=False), camera)
    writer = VideoWriter(tmp_path / "fine.mp4", Encoding(), like, sound=None, note=print)
    for moment in moments:
        writer.write(Frame(moment, drawn(float(moment), infrared=False)))
    writer.finish()
    assert np.allclose(read_back(tmp_path / "fine.mp4")[0], [float(moment) for moment in moments], atol=2e-5)


def test_times_never_stand_still(tmp_path: Path) -> None:
    like = Facts("camera", HEIGHT, WIDTH, rate=Fraction(10), time_base=Fraction(1, 10))
    writer = VideoWriter(tmp_path / "coarse.mp4", Encoding(), like, sound=None, note=print)
    for moment in (0.0, 0.01, 0.02, 0.3, 0.25):
        writer.write(Frame(Fraction(moment), drawn(moment, infrared=False)))
    writer.finish()
    assert np.allclose(read_back(tmp_path / "coarse.mp4")[0], [0, 0.1, 0.2, 0.3, 0.4])
