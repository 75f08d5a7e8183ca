"""``cmmdl fuse`` on clips: whole runs, interrupted ones, and pipes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
from click.testing import CliRunner, Result

import cmmdl
from cmmdl import Fuser, UserError
from cmmdl.cli import main
from cmmdl.files.images import read_image, write_image
from cmmdl.files.video.opening import open_clip

from clip_helpers import HEIGHT, WIDTH, av, bar_of, drawn, read_back, times, write_clip  # isort: skip

CMMDL = [sys.executable, "-c", "from cmmdl.cli import main; main()"]


@pytest.fixture(autouse=True)
def keep_the_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command may set its process's allocator; this process is shared with other tests."""
    monkeypatch.setattr("cmmdl.models.allocator.reuse_memory", lambda: True)


def fuse(*arguments: object, model: str = "max") -> Result:
    return CliRunner().invoke(main, ["fuse", *map(str, arguments), "--model", model], catch_exceptions=False)


@pytest.fixture
def clips(tmp_path: Path) -> tuple[Path, Path]:
    """A second of a scene: infrared at 10, visible at 25 frames a second, with sound."""
    write_clip(tmp_path / "ir.mp4", times(10, 1), infrared=True, rate=10)
    write_clip(tmp_path / "vis.mp4", times(25, 1), infrared=False, sound=1.0)
    return tmp_path / "ir.mp4", tmp_path / "vis.mp4"


def hidden(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.name.startswith("."))


def test_two_files(clips: tuple[Path, Path], tmp_path: Path) -> None:
    result = fuse(*clips, "-o", tmp_path / "fused.mp4")
    assert result.exit_code == 0, result.output
    assert "25 frames in" in result.stdout
    moments, pictures = read_back(tmp_path / "fused.mp4")
    assert moments == read_back(clips[1])[0]
    assert all(
        abs(bar_of(picture) - (16 + 20 * moment)) < 2.5 for moment, picture in zip(moments, pictures, strict=True)
    )
    with av.open(str(tmp_path / "fused.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.format.name) == ("h264", "yuv420p")
        assert stream.average_rate == 25
        assert len(container.streams.audio) == 1
    assert hidden(tmp_path) == []


def test_frames_equal_the_picture_command(clips: tuple[Path, Path], tmp_path: Path) -> None:
    assert fuse(*clips, "-o", tmp_path / "frames").exit_code == 0
    assert fuse(*clips, "-o", tmp_path / "fused.mkv", "--codec", "ffv1").exit_code == 0
    ir = list(open_clip(str(clips[0]), colour=False, note=lambda text: None).frames())
    vis = list(open_clip(str(clips[1]), note=lambda text: None).frames())
    lossless, fuser = read_back(tmp_path / "fused.mkv")[1], Fuser("max")
    for number, frame in enumerate(vis):
        near = min(ir, key=lambda other: abs(other.time - frame.time))
        expected = fuser(near.pixels, frame.pixels)
        np.testing.assert_array_equal(read_image(tmp_path / f"frames/{number:06d}.png"), expected)
        np.testing.assert_array_equal(lossless[number], expected)


def test_offset_and_different_lengths(tmp_path: Path) -> None:
    write_clip(tmp_path / "ir.mp4", times(25, 1), infrared=True, shift=0.4)
    write_clip(tmp_path / "vis.mp4", times(25, 1), infrared=False)
    result = fuse(tmp_path / "ir.mp4", tmp_path / "vis.mp4", "-o", tmp_path / "fused.mp4", "--offset", "0.4")
    assert result.exit_code == 0
    assert "fused 0.40 to 0.96 of 1.00 s of the visible clip" in result.stderr
    moments, pictures = read_back(tmp_path / "fused.mp4")
    assert len(moments) == 15
    assert moments[0] == 0
    assert abs(bar_of(pictures[0]) - (16 + 20 * 0.4)) < 2.5


def test_sixteen_bit_pages_and_a_video(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    counts = np.stack([7000 + 5 * drawn(k / 25, infrared=True).astype(np.uint16) for k in range(10)])
    tifffile.imwrite(tmp_path / "ir.tif", counts, photometric="minisblack")
    write_clip(tmp_path / "vis.mp4", times(25, 0.4), infrared=False)
    result = fuse(tmp_path / "ir.tif", tmp_path / "vis.mp4", "-o", tmp_path / "frames", "--fps", 25)
    assert result.exit_code == 0
    assert "are taken as black and white for the whole clip" in result.stderr
    low, high = result.stderr.split("--ir-range ")[1].split()[0].split(":")
    again = fuse(
        tmp_path / "ir.tif", tmp_path / "vis.mp4", "-o", tmp_path / "b", "--fps", 25, "--ir-range", f"{low}:{high}"
    )
    assert again.exit_code == 0
    for number in range(10):
        one, two = (read_image(tmp_path / name / f"{number:06d}.png") for name in ("frames", "b"))
        np.testing.assert_array_equal(one, two)
        assert one.max() >= 250  # the warm bar is white


def test_stretch_is_one_for_the_clip(clips: tuple[Path, Path], tmp_path: Path) -> None:
    assert fuse(*clips, "-o", tmp_path / "a").exit_code == 0
    assert fuse(*clips, "-o", tmp_path / "b", "--stretch").exit_code == 0
    maps = {}
    for number in range(0, 25, 6):
        plain, wide = (read_image(tmp_path / name / f"{number:06d}.png") for name in ("a", "b"))
        grey = plain.min(-1) == plain.max(-1)
        for before, after in zip(plain[grey][:, 0], wide[grey][:, 0], strict=True):
            assert abs(maps.setdefault(int(before), int(after)) - int(after)) <= 1


def test_numbered_pictures(tmp_path: Path) -> None:
    for side in ("ir", "vis"):
        (tmp_path / side).mkdir()
        for number in range(4):
            write_image(tmp_path / side / f"{number:03d}.png", drawn(number / 10, infrared=side == "ir"))
    out = tmp_path / "fused.mp4"
    result = fuse(tmp_path / "ir/%03d.png", tmp_path / "vis/%03d.png", "-o", out, "--fps", 10)
    assert result.exit_code == 0
    assert np.allclose(read_back(out)[0], [0, 0.1, 0.2, 0.3], atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["ir.mp4", "vis.mp4", "-o", "fused.png"], 2, "is a single picture"),
        (["ir.mp4", "still.png", "-o", "fused.mp4"], 1, "still.png is a single picture, not a clip"),
        (["ir.mp4", "missing.mp4", "-o", "fused.mp4"], 1, "missing.mp4: there is no such file"),
        (["ir.mp4", "vis.mp4", "-o", "fused.mp4", "--codec", "ffv1"], 2, "cannot hold ffv1"),
        (["ir.mp4", "vis.mp4", "-o", "fused.avi"], 2, "not a video that can be written"),
        (["ir.mp4", "vis.mp4", "-o", "vis.mp4", "--overwrite"], 2, "is one of the two inputs"),
        (["ir.mp4", "vis.mp4", "-o", "fused.mp4", "--offset", "30"], 1, "do not overlap in time"),
        (["ir.mp4", "vis.mp4", "-o", "fused.mp4", "--ir-range", "each"], 2, "flicker"),
        (["ir.mp4", "vis.mp4", "-o", "there.mp4"], 1, "exists; pass --overwrite"),
        (["still.png", "still.png", "-o", "fused.png", "--offset", "1"], 2, "--offset is for clips"),
        (["-", "vis.mp4", "-o", "fused.mp4", "--pixel", "gray"], 2, "need their size: --size"),
        (["small.mp4", "vis.mp4", "-o", "fused.mp4"], 1, "both must show one scene in one size"),
        (["cut.mp4", "vis.mp4", "-o", "fused.mp4"], 1, "cut.mp4 is not a video, or is truncated"),
        (["ir.mp4", "sound.m4v", "-o", "fused.mp4"], 1, "sound.m4v has no video track (audio only)"),
        (["ir.mp4", "none.mkv", "-o", "fused.mp4"], 1, "none.mkv"),
    ],
)
def test_bad_input(clips: tuple[Path, Path], tmp_path: Path, arguments: list[str], status: int, words: str) -> None:
    write_image(tmp_path / "still.png", drawn(0, infrared=True))
    (tmp_path / "there.mp4").write_bytes(b"kept")
    write_clip(tmp_path / "small.mp4", times(10, 0.5), infrared=True, size=(32, 48))
    (tmp_path / "cut.mp4").write_bytes(clips[0].read_bytes()[:-3000])
    write_empty(tmp_path / "sound.m4v", "aac")
    write_empty(tmp_path / "none.mkv", "libx264")
    before = sorted(file.name for file in tmp_path.iterdir())
    full = [
        str(tmp_path / word) if word.endswith((".mp4", ".m4v", ".mkv", ".png", ".avi")) else word for word in arguments
    ]
    result = CliRunner().invoke(main, ["fuse", *full, "--model", "max"])
    assert (result.exit_code, words in result.output.replace("\n", " ")) == (status, True), result.output
    assert sorted(file.name for file in tmp_path.iterdir()) == before
    assert (tmp_path / "there.mp4").read_bytes() == b"kept"


def write_empty(path: Path, codec: str) -> None:
    """A file with sound only, or with a video track of no frame."""
    with av.open(str(path), "w", format="mp4" if codec == "aac" else None) as container:
        if codec == "aac":
            stream = container.add_stream("aac", rate=16000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.rate = 16000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        else:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            container.start_encoding()


def test_a_truncated_clip_leaves_what_was_done(tmp_path: Path) -> None:
    write_clip(tmp_path / "ir.mp4", times(25, 4), infrared=True)
    write_clip(tmp_path / "vis.mkv", times(25, 4), infrared=False)
    whole = (tmp_path / "vis.mkv").read_bytes()
    (tmp_path / "vis.mkv").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError) as caught:
        fuse_in_python(tmp_path)
    kept = len(read_back(tmp_path / "fused.partial.mkv")[0])
    assert kept > 10
    assert f"the first {kept} frames are in {tmp_path / 'fused.partial.mkv'}" in str(caught.value)
    assert not (tmp_path / "fused.mp4").exists()
    assert hidden(tmp_path) == []


def fuse_in_python(folder: Path) -> None:
    from cmmdl.files.video.codecs import Encoding
    from cmmdl.files.video.encoding import VideoWriter
    from cmmdl.files.video.opening import RawInput, open_pair
    from cmmdl.fusion.clip import ClipOptions, fuse_clips

    ir, vis = open_pair(str(folder / "ir.mp4"), str(folder / "vis.mkv"), RawInput(), note=lambda text: None)
    sink = VideoWriter(folder / "fused.mp4", Encoding(), vis.facts, sound=None, note=lambda text: None)
    fuse_clips(Fuser("max"), ir, vis, sink, ClipOptions(), note=lambda text: None)


def long_clips(folder: Path, seconds: int = 30) -> list[str]:
    for name, infrared in (("ir.mp4", True), ("vis.mp4", False)):
        write_clip(folder / name, times(25, seconds), infrared=infrared)
    return [str(folder / "ir.mp4"), str(folder / "vis.mp4")]


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A run in a process of its own, once it writes frames."""
    command = [*CMMDL, "fuse", *long_clips(folder), "-o", str(folder / "fused.mp4"), "--model", "laplacian", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    part = folder / ".fused.part.mkv"
    for _ in range(600):
        if (part.exists() and part.stat().st_size > 2000) or process.poll() is not None:
            break
        time.sleep(0.1)
    return process


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_the_file(tmp_path: Path, number: signal.Signals, status: int) -> None:
    process = started(tmp_path)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == status, errors
    moments, _ = read_back(tmp_path / "fused.mp4")
    assert f"stopped; {len(moments)} frames are in" in errors
    assert f"fused 0.00 to {moments[-1]:.2f} of 30.00 s of the visible clip: it was stopped" in errors
    assert hidden(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_after_kill_only_the_part_file_is_left_and_the_next_run_removes_it(tmp_path: Path) -> None:
    process = started(tmp_path)
    process.kill()
    process.communicate(timeout=60)
    assert not (tmp_path / "fused.mp4").exists()
    assert hidden(tmp_path) == [".fused.part.mkv"]
    result = fuse(tmp_path / "ir.mp4", tmp_path / "vis.mp4", "-o", tmp_path / "fused.mp4", "--duration", "0.39")
    assert result.exit_code == 0
    assert hidden(tmp_path) == []
    assert len(read_back(tmp_path / "fused.mp4")[0]) == 10
    assert "fused 0.00 to 0.36 of 30.00 s of the visible clip: --duration ended it" in result.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_kills_at_random_moments(tmp_path: Path) -> None:
    sides, random = long_clips(tmp_path, 6), np.random.default_rng(0)
    command = [*CMMDL, "fuse", *sides, "-o", str(tmp_path / "fused.mp4"), "--model", "laplacian", "-q"]
    begun = time.monotonic()
    subprocess.run([*command, "--overwrite"], check=True)
    usual = time.monotonic() - begun
    (tmp_path / "fused.mp4").unlink()
    for _ in range(10):
        process = subprocess.Popen(command)
        time.sleep(random.uniform(0.3, 1.1) * usual)
        process.kill()
        process.wait()
        assert set(hidden(tmp_path)) <= {".fused.part.mkv", ".fused.part.to.mp4"}
        if (tmp_path / "fused.mp4").exists():
            assert len(read_back(tmp_path / "fused.mp4")[0]) == 150
            (tmp_path / "fused.mp4").unlink()
    subprocess.run(command, check=True)
    assert hidden(tmp_path) == []
    assert len(read_back(tmp_path / "fused.mp4")[0]) == 150


def write_looped(path: Path, count: int, *, infrared: bool) -> None:
    """A clip of so many small frames, the same second over and over."""
    second = [drawn(k / 25, infrared=infrared, height=48, width=64) for k in range(25)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for number in range(count):
            pixels = second[number % 25]
            frame = av.VideoFrame.from_ndarray(pixels, format="gray" if infrared else "rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("steady", [False, True])
def test_memory_stays_flat_over_twenty_thousand_frames(tmp_path: Path, steady: bool) -> None:
    """Frames are small, 64x48, so that it ends; what a frame leaves behind would show all the same."""
    from cmmdl.files.video.codecs import Encoding
    from cmmdl.files.video.encoding import VideoWriter
    from cmmdl.files.video.opening import RawInput, open_pair
    from cmmdl.fusion.clip import ClipOptions, ClipReport, fuse_clips

    write_looped(tmp_path / "ir.mp4", 20_000, infrared=True)
    write_looped(tmp_path / "vis.mp4", 20_000, infrared=False)
    resident: dict[int, float] = {}

    def look(report: ClipReport) -> None:
        if report.count % 2000 == 0:
            resident[report.count] = psutil.Process().memory_info().rss / 2**20

    sides = open_pair(str(tmp_path / "ir.mp4"), str(tmp_path / "vis.mp4"), RawInput(), note=print)
    sink = VideoWriter(tmp_path / "fused.mp4", Encoding(), sides[1].facts, sound=None, note=print)
    report = fuse_clips(Fuser("max"), *sides, sink, ClipOptions(steady=steady), note=print, progress=look)
    print("MiB of memory by frame:", {count: round(size) for count, size in resident.items()})
    assert report.count == 20_000
    assert resident[20_000] < resident[4000] + 8


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
@pytest.mark.parametrize("name", ["frames", "fused.mkv"])
def test_a_full_disk_before_the_first_frame_leaves_nothing_to_speak_of(
    clips: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))\n"
    command = [sys.executable, "-c", limit + "from cmmdl.cli import main; main()", "fuse", *map(str, clips)]
    out = str(tmp_path / name) + ("" if "." in name else "/")
    done = subprocess.run([*command, "-o", out, "--model", "max"], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "the disk is full" in done.stderr
    assert "frames are in" not in done.stderr
    assert {path for path in tmp_path.rglob("*") if path.is_file()} <= set(clips)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_a_full_disk_leaves_what_was_done(clips: tuple[Path, Path], tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))\n"
    command = [sys.executable, "-c", limit + "from cmmdl.cli import main; main()", "fuse", *map(str, clips)]
    out = tmp_path / "fused.mkv"
    done = subprocess.run(
        [*command, "-o", str(out), "--model", "max", "--codec", "ffv1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "the disk is full" in done.stderr
    kept = len(read_back(tmp_path / "fused.partial.mkv")[0])
    assert kept > 0
    assert f"the first {kept} frames are in {tmp_path / 'fused.partial.mkv'}" in done.stderr
    assert not out.exists()
    assert hidden(tmp_path) == []


def ffmpeg() -> str:
    """FFmpeg of the system, or the one that the extra ``dev`` brings."""
    if found := shutil.which("ffmpeg"):
        return found
    return str(pytest.importorskip("imageio_ffmpeg", reason="needs ffmpeg: pip install 'cmmdl[dev]'").get_ffmpeg_exe())


def test_a_pipe_through_ffmpeg_at_both_ends(clips: tuple[Path, Path], tmp_path: Path) -> None:
    raw = ["-f", "rawvideo", "-pix_fmt"]
    read = [ffmpeg(), "-v", "error", "-i", str(clips[0]), "-r", "25", *raw, "gray", "-"]
    fused = ["fuse", "-", str(clips[1]), "-o", "-", "--size", f"{WIDTH}x{HEIGHT}", "--pixel", "gray", "--fps", "25"]
    out = tmp_path / "piped.mkv"
    write = [ffmpeg(), "-v", "error", *raw, "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", "25", "-i", "-", "-c", "ffv1"]
    one = subprocess.Popen(read, stdout=subprocess.PIPE)
    two = subprocess.Popen([*CMMDL, *fused, "--model", "max"], stdin=one.stdout, stdout=subprocess.PIPE)
    subprocess.run([*write, "-pix_fmt", "bgr0", str(out)], stdin=two.stdout, check=True)
    assert (one.wait(), two.wait()) == (0, 0)
    moments, pictures = read_back(out)
    assert len(moments) == 25
    assert abs(bar_of(pictures[10]) - (16 + 20 * 0.4)) < 2.5


def listed(clip: Path, track: str) -> list[list[int | str]]:
    """What FFmpeg itself says of the packets of a track, in the order of their times: time, length, size, hash."""
    said = ["-v", "error", "-copyts", "-i", str(clip), "-map", f"0:{track}", "-c", "copy", "-f", "framemd5", "-"]
    lines = subprocess.run([ffmpeg(), *said], capture_output=True, text=True, check=True).stdout.splitlines()
    (unit,) = (Fraction(line.split()[-1]) for line in lines if line.startswith("#tb"))
    rows = [[field.strip() for field in line.split(",")] for line in lines if not line.startswith("#")]
    return sorted([round(float(int(row[2]) * unit), 6), *row[3:6]] for row in rows)


def test_times_and_sound_as_ffmpeg_sees_them(tmp_path: Path) -> None:
    uneven = [k / 25 + 0.003 * (k % 3) for k in range(40) if k not in (7, 8, 21)]
    write_clip(tmp_path / "ir.mp4", times(30, 1.6), infrared=True, rate=30)
    write_clip(tmp_path / "vis.mp4", uneven, infrared=False, sound=1.6)
    for name in ("fused.mp4", "fused.mkv"):
        assert fuse(tmp_path / "ir.mp4", tmp_path / "vis.mp4", "-o", tmp_path / name).exit_code == 0
        pictures, drawn_ones = (listed(tmp_path / clip, "v") for clip in (name, "vis.mp4"))
        heard, meant = (listed(tmp_path / clip, "a") for clip in (name, "vis.mp4"))
        assert [row[2:] for row in heard] == [row[2:] for row in meant]
        found, wanted = (
            np.array([row[0] for row in (*one, *two)], float) for one, two in ((pictures, heard), (drawn_ones, meant))
        )
        if name == "fused.mp4":
            np.testing.assert_allclose(found, wanted, atol=1e-6)
        else:  # no time before 0, where the sound has its lead-in: both tracks are later alike; and milliseconds only
            np.testing.assert_allclose(found - found[0], wanted - wanted[0], atol=1.1e-3)


def test_a_reader_that_closes_the_pipe(clips: tuple[Path, Path]) -> None:
    command = [*CMMDL, "fuse", *map(str, clips), "-o", "-", "--model", "max", "-q"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(WIDTH * HEIGHT * 3)
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read().decode()
    assert process.wait() == 1
    assert errors.startswith("error: standard output was closed by its reader")
    assert len(errors.splitlines()) == 1


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_network_streams_over_the_loopback(tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    for name, infrared in (("ir.ts", True), ("vis.ts", False)):
        write_clip(tmp_path / name, times(25, 8), infrared=infrared)
    addresses = [f"tcp://127.0.0.1:{port}?listen=1" for port in ports]
    command = [*CMMDL, "fuse", *addresses, "-o", str(tmp_path / "fused.mkv"), "--model", "max"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    senders = [send(tmp_path / name, port) for name, port in zip(("ir.ts", "vis.ts"), ports, strict=True)]
    output, errors = process.communicate(timeout=120)
    for sender in senders:
        sender.wait(timeout=20)
    assert process.returncode == 0, errors
    assert "latency" in output
    moments, pictures = read_back(tmp_path / "fused.mkv")
    assert len(moments) > 5
    assert all(later > earlier for earlier, later in pairwise(moments))
    assert max(picture.max() for picture in pictures) > 200  # the warm bar is there


def test_a_pipe_beside_a_network_stream(tmp_path: Path) -> None:
    port = free_port()
    write_clip(tmp_path / "vis.ts", times(25, 8), infrared=False)
    command = [*CMMDL, "fuse", "-", f"tcp://127.0.0.1:{port}?listen=1", "-o", str(tmp_path / "fused.mkv")]
    raw = ["--size", f"{WIDTH}x{HEIGHT}", "--pixel", "gray", "--duration", "2", "--model", "max"]
    process = subprocess.Popen([*command, *raw], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    sender = send(tmp_path / "vis.ts", port)
    assert process.stdin is not None
    assert process.stderr is not None
    camera = drawn(0, infrared=True).tobytes()
    while process.poll() is None:
        with suppress(BrokenPipeError):
            process.stdin.write(camera)
        time.sleep(0.04)
    sender.kill()
    sender.wait()
    assert process.returncode == 0, process.stderr.read().decode()
    moments, pictures = read_back(tmp_path / "fused.mkv")
    assert 0 < moments[-1] < 2.2
    assert all(abs(bar_of(picture) - 16) < 2.5 for picture in pictures)


def send(path: Path, port: int) -> subprocess.Popen[bytes]:
    """Sends a file in real time, once somebody listens."""
    script = (
        "import socket, sys, time\n"
        "data = open(sys.argv[1], 'rb').read()\n"
        "for _ in range(300):\n"
        "    try:\n"
        "        line = socket.create_connection(('127.0.0.1', int(sys.argv[2])))\n"
        "        break\n"
        "    except OSError:\n"
        "        time.sleep(0.1)\n"
        "for k in range(100):\n"
        "    line.sendall(data[len(data) * k // 100 : len(data) * (k + 1) // 100])\n"
        "    time.sleep(0.08)\n"
        "line.close()\n"
    )
    return subprocess.Popen([sys.executable, "-c", script, str(path), str(port)])


def test_streams_in_python() -> None:
    fuser = Fuser("max")
    ir = [drawn(k / 10, infrared=True) for k in range(6)]
    vis = [drawn(k / 10, infrared=False) for k in range(6)]
    found = list(cmmdl.fuse_stream(fuser, iter(ir), iter(vis)))
    assert len(found) == 6
    for one, two, fused in zip(ir, vis, found, strict=True):
        np.testing.assert_array_equal(fused, fuser(one, two))


def test_streams_in_python_with_times(clips: tuple[Path, Path]) -> None:
    ir, vis = (open_clip(str(path), colour=path == clips[1], note=lambda text: None) for path in clips)
    found = list(cmmdl.fuse_stream(Fuser("max"), ir.frames(), vis.frames(), steady=True))
    assert [float(frame.time) for frame in found] == read_back(clips[1])[0]


def test_a_stream_that_is_left_early_ends_its_threads() -> None:
    import threading

    before = threading.active_count()
    endless = (drawn(0, infrared=True) for _ in iter(int, 1))
    colours = (drawn(0, infrared=False) for _ in iter(int, 1))
    stream = cmmdl.fuse_stream(Fuser("max"), endless, colours)
    next(stream)
    stream.close()
    time.sleep(0.5)
    assert threading.active_count() <= before


def test_an_error_in_a_stream_comes_up() -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield drawn(0, infrared=False)
        raise UserError("camera gone")

    with pytest.raises(UserError, match="camera gone"):
        list(cmmdl.fuse_stream(Fuser("max"), [drawn(0, infrared=True)] * 3, broken()))


def scene_clips(folder: Path, shift: int, seconds: float = 3.0) -> list[str]:
    """Clips of the drawn scene, the infrared one moved right by some pixels."""
    from cmmdl.scenes import synthetic_pair

    moments, frames = times(8, seconds), dict[str, list[np.ndarray]](ir=[], vis=[])
    ir, vis = synthetic_pair(240, 320, seed=3)
    for _ in moments:
        frames["ir"].append(np.roll(ir, shift, axis=1))
        frames["vis"].append(vis)
    for side, infrared in (("ir", True), ("vis", False)):
        path = folder / f"{side}.mkv"
        write_clip(path, moments, infrared=infrared, rate=8, frames=frames[side], pixel="yuv444p")
    return [str(folder / "ir.mkv"), str(folder / "vis.mkv")]


def test_a_rig_is_laid_once_and_held(tmp_path: Path) -> None:
    clips = scene_clips(tmp_path, 12, 1.0)
    result = fuse(*clips, "-o", tmp_path / "fused.mkv", "--codec", "ffv1", "--align")
    assert result.exit_code == 0, result.output
    assert "held for the whole clip" in result.stderr
    moved = float(result.stderr.split("px (")[1].split(",")[0])
    assert abs(moved + 12) < 1.5
    assert len(read_back(tmp_path / "fused.mkv")[0]) == 8


def test_frames_that_lie_apart_for_long_are_told(tmp_path: Path) -> None:
    clips = scene_clips(tmp_path, 14)
    result = fuse(*clips, "-o", tmp_path / "fused.mkv", "--strict")
    assert result.exit_code == 3, result.output
    assert "from 0.0 s on the infrared frames lie off the visible ones" in result.stderr
    assert fuse(*clips, "-o", tmp_path / "b.mkv", "--strict", "--no-check").exit_code == 0
