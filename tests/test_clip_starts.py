"""Where the clock of a clip begins: formats that count packets, late starts, frames stored in another order."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cmmdl import UserError
from cmmdl.cli import main
from cmmdl.files.video.clip import Frame
from cmmdl.files.video.opening import open_clip

from clip_helpers import HEIGHT, WIDTH, av, bar_of, drawn, read_back, times, write_clip  # isort: skip

silent = lambda text: None  # noqa: E731


def write_reordered(
    path: Path, count: int, rate: int, *, late: int = 0, sound: bool = False, **options: str
) -> list[float]:
    """A clip with B-frames whose frame ``k`` shows the scene at ``k / rate``; ``late`` frames are missing before it."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "4", "bf": "2", "b-adapt": "0"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        voice = container.add_stream("aac", rate=16000, layout="mono") if sound else None
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(drawn(number / rate, infrared=True), format="gray")
            frame.pts, frame.time_base = number + late, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice is not None:
            for block in range(count * 16000 // rate // 1024):
                tone = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                tone.rate, tone.pts, tone.time_base = 16000, block * 1024, Fraction(1, 16000)
                container.mux(voice.encode(tone))
            container.mux(voice.encode(None))
    return [(number + late) / rate for number in range(count)]


def read(path: Path) -> list[Frame]:
    return list(open_clip(str(path), colour=False, note=silent).frames())


def check(frames: list[Frame], moments: list[float], *, late: float = 0.0) -> None:
    """All frames are there, at those times, and each shows what was drawn for it."""
    assert len(frames) == len(moments)
    np.testing.assert_allclose([float(frame.time) for frame in frames], moments, atol=0.0011)
    assert all(abs(bar_of(f.pixels) - 16 - 20 * (float(f.time) - late)) < 0.7 for f in frames)


def test_avi_begins_at_its_first_frame(tmp_path: Path) -> None:
    write_clip(tmp_path / "ir.avi", times(25, 1), infrared=True)
    check(read(tmp_path / "ir.avi"), times(25, 1))


def test_avi_with_reordered_frames_is_counted(tmp_path: Path) -> None:
    write_reordered(tmp_path / "ir.avi", 15, 5)
    check(read(tmp_path / "ir.avi"), times(5, 3))


@pytest.mark.parametrize("codec", ["mpeg4", "mjpeg"])
def test_other_avi_files(tmp_path: Path, codec: str) -> None:
    pixel = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    write_clip(tmp_path / "ir.avi", times(25, 1), infrared=True, codec=codec, pixel=pixel)
    assert [float(frame.time) for frame in read(tmp_path / "ir.avi")] == times(25, 1)


@pytest.mark.parametrize("codec", ["libx264", "mjpeg"])
def test_frames_that_an_avi_dropped_leave_a_hole(tmp_path: Path, codec: str) -> None:
    moments = [moment for number, moment in enumerate(times(25, 1)) if number not in range(10, 14)]
    pixel = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    write_clip(tmp_path / "ir.avi", moments, infrared=True, codec=codec, pixel=pixel)
    assert [float(frame.time) for frame in read(tmp_path / "ir.avi")] == pytest.approx(moments, abs=0.0011)


def test_a_whole_avi_pairs_frame_by_frame(tmp_path: Path) -> None:
    write_clip(tmp_path / "ir.avi", times(25, 1), infrared=True)
    write_clip(tmp_path / "vis.mp4", times(25, 1), infrared=False)
    for ir, vis in (("ir.avi", "vis.mp4"), ("vis.mp4", "ir.avi")):
        out = tmp_path / f"{vis}.mkv"
        result = CliRunner().invoke(
            main, ["fuse", *(str(tmp_path / side) for side in (ir, vis)), "-o", str(out), "--model", "max"]
        )
        assert result.exit_code == 0, result.output
        assert "fused 0" not in result.stderr
        moments, pictures = read_back(out)
        np.testing.assert_allclose(moments, times(25, 1), atol=0.0011)
        assert all(abs(bar_of(picture) - 16 - 20 * m) < 1.5 for m, picture in zip(moments, pictures, strict=True))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("late", [0.04, 0.2])
def test_a_little_late_is_late(tmp_path: Path, suffix: str, late: float) -> None:
    path = tmp_path / f"ir.{suffix}"
    write_clip(path, times(25, 0.6, late), infrared=True, shift=-late)
    check(read(path), times(25, 0.6, late), late=late)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("late", [0, 1, 2, 5])
def test_late_clips_of_reordered_frames(tmp_path: Path, suffix: str, late: int) -> None:
    moments = write_reordered(tmp_path / f"ir.{suffix}", 12, 5, late=late)
    check(read(tmp_path / f"ir.{suffix}"), moments, late=late / 5)


@pytest.mark.parametrize(("suffix", "rate"), [("mp4", 5), ("mp4", 25), ("ts", 5), ("flv", 5)])
def test_the_delay_of_reordered_frames_is_not_lateness(tmp_path: Path, suffix: str, rate: int) -> None:
    options = {"movflags": "frag_keyframe+empty_moov"} if suffix == "mp4" else {}
    write_reordered(tmp_path / f"ir.{suffix}", 12, rate, **options)
    with av.open(str(tmp_path / f"ir.{suffix}")) as container:
        assert container.streams.video[0].start_time > 0  # or this tests nothing
    check(read(tmp_path / f"ir.{suffix}"), times(rate, 12 / rate))


def copied(path: Path, out: Path) -> None:
    """The packets of a clip in another container."""
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        tracks = {track.index: target.add_stream_from_template(track) for track in source.streams}
        for packet in source.demux():
            if packet.size:
                packet.stream = tracks[packet.stream.index]
                target.mux(packet)


def test_the_lead_in_of_the_sound_is_not_lateness(tmp_path: Path) -> None:
    write_reordered(tmp_path / "ir.mp4", 15, 5, sound=True)
    copied(tmp_path / "ir.mp4", tmp_path / "ir.mkv")
    with av.open(str(tmp_path / "ir.mkv")) as container:
        assert container.streams.video[0].start_time == 64  # or this tests nothing
    check(read(tmp_path / "ir.mkv"), times(5, 3))


def apart(path: Path) -> float:
    """By how much the first frame comes after the first packet of sound."""
    first = []
    for kind in ("video", "audio"):
        with av.open(str(path)) as container:
            first.append(min(p.pts * p.time_base for p in container.demux(**{kind: 0}) if p.size))
    return float(first[0] - first[1])


@pytest.mark.parametrize("out", ["fused.mp4", "fused.mkv"])
@pytest.mark.parametrize("name", ["late.mp4", "late.mkv", "frag.mp4", "copied.mkv", "vis.ts"])
def test_sound_and_pictures_stay_in_step_whatever_the_clock_begins_at(tmp_path: Path, name: str, out: str) -> None:
    write_clip(tmp_path / "ir.mp4", times(25, 2), infrared=True)
    options = {"movflags": "frag_keyframe+empty_moov"} if name == "frag.mp4" else {}
    late = 3 if name.startswith("late") else 0
    if name == "copied.mkv":
        write_reordered(tmp_path / "vis.mp4", 30, 25, sound=True)
        copied(tmp_path / "vis.mp4", tmp_path / name)
    else:
        write_reordered(tmp_path / name, 30, 25, late=late, sound=True, **options)
    files = [str(tmp_path / file) for file in ("ir.mp4", name)]
    result = CliRunner().invoke(main, ["fuse", *files, "-o", str(tmp_path / out), "--model", "max"])
    assert result.exit_code == 0, result.output
    assert apart(tmp_path / out) == pytest.approx(apart(tmp_path / name), abs=0.0015)
    moments, pictures = read_back(tmp_path / out)
    assert len(moments) == 30
    assert bar_of(pictures[0]) == pytest.approx(16 + 20 * 0.04 * late, abs=1.5)


ORIENTED = {  # what the matrix (a, b, c, d) does to an array
    (1, 0, 0, 1): lambda x: x,
    (0, 1, -1, 0): lambda x: np.rot90(x, -1),
    (-1, 0, 0, -1): lambda x: np.rot90(x, 2),
    (0, -1, 1, 0): lambda x: np.rot90(x, 1),
    (-1, 0, 0, 1): lambda x: x[:, ::-1],
    (1, 0, 0, -1): lambda x: x[::-1],
    (0, 1, 1, 0): lambda x: np.swapaxes(x, 0, 1),
    (0, -1, -1, 0): lambda x: np.swapaxes(np.rot90(x, 2), 0, 1),
}


def set_matrix(path: Path, matrix: tuple[float, ...]) -> None:
    """Writes a display matrix into the header of the track of an MP4."""
    data = path.read_bytes()
    plain = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    at = data.index(plain, data.index(b"tkhd"))
    a, b, c, d = (round(value * 0x10000) for value in matrix)
    path.write_bytes(data[:at] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000) + data[at + 36 :])


@pytest.mark.parametrize("matrix", ORIENTED)
def test_every_display_matrix(tmp_path: Path, matrix: tuple[int, ...]) -> None:
    path, out = tmp_path / "vis.mp4", tmp_path / "fused.mp4"
    write_clip(path, times(10, 0.3), infrared=False)
    stored = read_back(path)[1][0]
    set_matrix(path, matrix)
    clip = open_clip(str(path), note=silent)
    upright = ORIENTED[matrix](stored)
    np.testing.assert_array_equal(next(clip.frames()).pixels, upright)
    assert (clip.facts.height, clip.facts.width) == upright.shape[:2]
    result = CliRunner().invoke(main, ["fuse", str(path), str(path), "-o", str(out), "--model", "mean"])
    assert result.exit_code == 0, result.output
    again = next(open_clip(str(out), note=silent).frames()).pixels
    assert np.abs(again.astype(int) - upright).mean() < 8
    mirrored = matrix[0] * matrix[3] - matrix[1] * matrix[2] < 0
    with av.open(str(path)) as before, av.open(str(out)) as after:
        turns = [next(container.decode(video=0)).rotation for container in (before, after)]
    assert turns[1] % 360 == (0 if mirrored else turns[0] % 360)


def test_a_slanted_display_matrix_is_refused(tmp_path: Path) -> None:
    write_clip(tmp_path / "vis.mp4", times(10, 0.3), infrared=False)
    set_matrix(tmp_path / "vis.mp4", (0.866, 0.5, -0.5, 0.866))
    with pytest.raises(UserError, match=r"vis\.mp4 is to be displayed slanted"):
        open_clip(str(tmp_path / "vis.mp4"), note=silent)


def test_a_last_picture_that_is_held_long_is_no_truncation(tmp_path: Path) -> None:
    from PIL import Image

    pictures = [Image.fromarray(drawn(k / 25, infrared=True)) for k in range(10)]
    held = [40] * 9 + [3000]
    pictures[0].save(tmp_path / "ir.gif", save_all=True, append_images=pictures[1:], duration=held)
    frames = read(tmp_path / "ir.gif")
    np.testing.assert_allclose([float(frame.time) for frame in frames], times(25, 0.4), atol=1e-6)
