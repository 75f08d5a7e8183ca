"""Clips in and out: what the files say survives, and what cannot be read is told in one line."""

from __future__ import annotations

import io
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from cmmdl import UserError
from cmmdl.files.images import write_image
from cmmdl.files.video.clip import Frame
from cmmdl.files.video.codecs import CODECS, Encoding
from cmmdl.files.video.encoding import VideoWriter, part_of
from cmmdl.files.video.opening import RawInput, is_clip, open_clip, open_pair
from cmmdl.files.video.raw import LAYOUTS, RawFrames, RawWriter

from clip_helpers import HEIGHT, WIDTH, av, bar_of, drawn, read_back, times, write_clip  # isort: skip

silent = lambda text: None  # noqa: E731


def rewritten(clip: Path, out: Path, encoding: Encoding = Encoding(), **options: object) -> list[Frame]:  # noqa: B008
    source = open_clip(str(clip), note=silent)
    writer = VideoWriter(out, encoding, source.facts, sound=options.get("sound"), note=silent)  # type: ignore[arg-type]
    frames = list(source.frames())
    for frame in frames:
        writer.write(frame)
    writer.finish()
    return frames


def test_limited_luma_is_expanded_as_swscale_does(tmp_path: Path) -> None:
    write_clip(tmp_path / "ir.mp4", times(10, 0.3), infrared=True)
    frames = list(open_clip(str(tmp_path / "ir.mp4"), colour=False, note=silent).frames())
    with av.open(str(tmp_path / "ir.mp4")) as container:
        expected = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    for frame, grey in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(frame.pixels, grey)
    assert abs(int(frames[0].pixels.max()) - 220) <= 2


def test_visible_frames_are_what_pyav_gives(tmp_path: Path) -> None:
    write_clip(tmp_path / "vis.mp4", times(10, 0.3), infrared=False)
    frames = list(open_clip(str(tmp_path / "vis.mp4"), note=silent).frames())
    for frame, rgb in zip(frames, read_back(tmp_path / "vis.mp4")[1], strict=True):
        np.testing.assert_array_equal(frame.pixels, rgb)


def test_full_range_is_left_alone(tmp_path: Path) -> None:
    write_clip(tmp_path / "ir.mp4", times(10, 0.2), infrared=True, pixel="yuvj420p", tags={"color_range": 2})
    clip = open_clip(str(tmp_path / "ir.mp4"), colour=False, note=silent)
    assert clip.facts.tags.colour["color_range"] == 2
    assert np.abs(next(clip.frames()).pixels.astype(int) - drawn(0, infrared=True)).max() <= 3


def test_sixteen_bit_recordings_come_as_counts(tmp_path: Path) -> None:
    counts = [np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 3 + k for k in range(4)]
    write_clip(tmp_path / "ir.mkv", times(9, 0.45), infrared=True, codec="ffv1", pixel="gray16le", frames=counts)
    frames = list(open_clip(str(tmp_path / "ir.mkv"), colour=False, note=silent).frames())
    for frame, expected in zip(frames, counts, strict=True):
        np.testing.assert_array_equal(frame.pixels, expected)


def test_twelve_bit_grey_says_its_white(tmp_path: Path) -> None:
    frame = av.VideoFrame(32, 32, "gray12le")
    frame.planes[0].update((np.full((32, 32), 4095, "<u2")).tobytes())
    with av.open(str(tmp_path / "ir.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=9)
        stream.width = stream.height = 32
        stream.pix_fmt = "gray12le"
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip = open_clip(str(tmp_path / "ir.mkv"), colour=False, note=silent)
    assert clip.facts.white == 4095
    assert next(clip.frames()).pixels.max() == 4095


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_applied_and_kept(tmp_path: Path, rotation: int) -> None:
    write_clip(tmp_path / "vis.mp4", times(10, 0.3), infrared=False, rotation=rotation)
    frames = rewritten(tmp_path / "vis.mp4", tmp_path / "out.mp4")
    assert frames[0].pixels.shape[:2] == ((WIDTH, HEIGHT) if rotation != 180 else (HEIGHT, WIDTH))
    with av.open(str(tmp_path / "out.mp4")) as container, av.open(str(tmp_path / "vis.mp4")) as source:
        out, before = next(container.decode(video=0)), next(source.decode(video=0))
        assert (out.rotation, out.width, out.height) == (before.rotation, before.width, before.height)
    again = next(open_clip(str(tmp_path / "out.mp4"), note=silent).frames())
    assert np.abs(again.pixels.astype(int) - frames[0].pixels).mean() < 6


def test_times_of_a_variable_rate_are_kept_exactly(tmp_path: Path) -> None:
    moments = [0, 0.031, 0.1, 0.1333, 0.3, 0.52, 0.5401]
    write_clip(tmp_path / "vis.mp4", moments, infrared=False)
    rewritten(tmp_path / "vis.mp4", tmp_path / "out.mp4")
    assert read_back(tmp_path / "out.mp4")[0] == read_back(tmp_path / "vis.mp4")[0]
    assert not part_of(tmp_path / "out.mp4").exists()


def test_colour_tags_are_kept(tmp_path: Path) -> None:
    tags = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}
    write_clip(tmp_path / "vis.mp4", times(10, 0.3), infrared=False, tags=tags)
    frames = rewritten(tmp_path / "vis.mp4", tmp_path / "out.mp4")
    out = open_clip(str(tmp_path / "out.mp4"), note=silent)
    assert out.facts.tags.colour == tags
    assert np.abs(next(out.frames()).pixels.astype(int) - frames[0].pixels).mean() < 6


def test_lossless_is_lossless(tmp_path: Path) -> None:
    write_clip(tmp_path / "vis.mp4", times(10, 0.5), infrared=False)
    frames = rewritten(tmp_path / "vis.mp4", tmp_path / "out.mkv", Encoding("ffv1"))
    for frame, rgb in zip(frames, read_back(tmp_path / "out.mkv")[1], strict=True):
        np.testing.assert_array_equal(rgb, frame.pixels)


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "h265"), (".webm", "vp9"), (".mkv", "av1"), (".mp4", "av1")])
def test_other_codecs(tmp_path: Path, suffix: str, codec: str) -> None:
    write_clip(tmp_path / "vis.mp4", times(10, 0.5), infrared=False)
    try:
        frames = rewritten(tmp_path / "vis.mp4", tmp_path / f"out{suffix}", Encoding(codec))
    except UserError as error:
        pytest.skip(str(error))
    moments, pictures = read_back(tmp_path / f"out{suffix}")
    assert np.allclose(moments, [float(frame.time) for frame in frames], atol=0.001)
    assert np.abs(pictures[2].astype(int) - frames[2].pixels).mean() < 12


def test_ten_bits(tmp_path: Path) -> None:
    write_clip(tmp_path / "vis.mp4", times(10, 0.3), infrared=False)
    rewritten(tmp_path / "vis.mp4", tmp_path / "out.mp4", Encoding(bits=10))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].format.name == "yuv420p10le"


def test_odd_sides_are_padded_and_told(tmp_path: Path) -> None:
    frames = [np.zeros((33, 47, 3), np.uint8)] * 3
    write_clip(tmp_path / "vis.mkv", times(10, 0.3), infrared=False, codec="ffv1", pixel="bgr0", frames=frames)
    source, said = open_clip(str(tmp_path / "vis.mkv"), note=silent), list[str]()
    writer = VideoWriter(tmp_path / "out.mp4", Encoding(), source.facts, sound=None, note=said.append)
    for frame in source.frames():
        writer.write(frame)
    writer.finish()
    assert read_back(tmp_path / "out.mp4")[1][0].shape == (34, 48, 3)
    assert "47x33 was padded to even sides" in said[0]


def test_sound_is_copied_packet_by_packet(tmp_path: Path) -> None:
    write_clip(tmp_path / "vis.mp4", times(25, 1.0), infrared=False, sound=1.0)
    rewritten(tmp_path / "vis.mp4", tmp_path / "out.mp4", sound=str(tmp_path / "vis.mp4"))

    def packets(path: Path) -> list[tuple[Fraction, bytes]]:
        with av.open(str(path)) as container:
            return [(p.pts * p.time_base, bytes(p)) for p in container.demux(audio=0) if p.size]

    assert len(packets(tmp_path / "vis.mp4")) > 10
    assert packets(tmp_path / "out.mp4") == packets(tmp_path / "vis.mp4")


def test_sound_that_the_container_does_not_hold_is_encoded_anew_and_told(tmp_path: Path) -> None:
    write_clip(tmp_path / "vis.mp4", times(25, 1.0), infrared=False, sound=1.0)
    source, said = open_clip(str(tmp_path / "vis.mp4"), note=silent), list[str]()
    sound = str(tmp_path / "vis.mp4")
    writer = VideoWriter(tmp_path / "out.webm", Encoding(), source.facts, sound=sound, note=said.append)
    for frame in source.frames():
        writer.write(frame)
    writer.finish()
    assert "aac sound does not go into .webm" in said[0]
    with av.open(str(tmp_path / "out.webm")) as container:
        seconds = sum(frame.samples / frame.rate for frame in container.decode(audio=0))
    assert 0.9 < seconds < 1.15


def test_numbered_pictures_and_their_holes(tmp_path: Path) -> None:
    for number in (3, 4, 6):
        write_image(tmp_path / f"{number:04d}.png", drawn(number / 10, infrared=True))
    clip = open_clip(str(tmp_path / "%04d.png"), RawInput(rate=Fraction(10)), note=silent)
    assert [float(frame.time) for frame in clip.frames()] == [0, 0.1, 0.3]
    assert clip.facts.count == 3


def test_numbers_of_two_folders_pair_by_number(tmp_path: Path) -> None:
    for side, first in (("ir", 2), ("vis", 0)):
        (tmp_path / side).mkdir()
        for number in range(first, 5):
            write_image(tmp_path / side / f"{number:03d}.png", drawn(0, infrared=side == "ir"))
    paths = (str(tmp_path / side / "%03d.png") for side in ("ir", "vis"))
    ir, vis = open_pair(*paths, RawInput(rate=Fraction(10)), note=silent)
    assert [float(frame.time) for frame in ir.frames()] == [0.2, 0.3, 0.4]
    assert [float(frame.time) for frame in vis.frames()] == [0, 0.1, 0.2, 0.3, 0.4]


def test_pages_of_a_tiff_are_frames(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    counts = np.random.default_rng(0).integers(7000, 9000, (5, 20, 30)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "ir.tif", counts, photometric="minisblack")
    said = list[str]()
    clip = open_clip(str(tmp_path / "ir.tif"), note=said.append)
    np.testing.assert_array_equal([frame.pixels for frame in clip.frames()], counts)
    assert "25 frames a second are taken; give --fps" in said[0]


@pytest.mark.parametrize("pixel", sorted(LAYOUTS))
def test_raw_frames_round_trip(pixel: str) -> None:
    layout = LAYOUTS[pixel]
    random = np.random.default_rng(1)
    shape = (6, 8) if layout.channels == 1 else (6, 8, 3)
    if "f" in layout.dtype:
        frame = random.random(shape).astype(np.float32)
    else:
        frame = random.integers(0, 255 if layout.dtype == "u1" else 65535, shape).astype(layout.dtype.replace(">", "<"))
    buffer = io.BytesIO()
    writer = RawWriter(pixel, rate=None, told=silent, file=buffer)
    writer.write(Frame(Fraction(0), frame))
    writer.write(Frame(Fraction(1), frame))
    assert len(buffer.getvalue()) == 2 * 48 * layout.channels * np.dtype(layout.dtype).itemsize
    buffer.seek(0)
    back = list(RawFrames(8, 6, pixel, rate=Fraction(10), file=buffer).frames())
    assert [float(item.time) for item in back] == [0, 0.1]
    np.testing.assert_array_equal(back[1].pixels, frame)


def test_a_pipe_that_closes_within_a_frame() -> None:
    raw = RawFrames(8, 6, "gray", file=io.BytesIO(bytes(48 + 20)))
    with pytest.raises(UserError, match=r"ended within a frame \(20 of 48 bytes\)"):
        list(raw.frames())
    with pytest.raises(UserError, match="no frames came from standard input"):
        RawFrames(8, 6, "gray", file=io.BytesIO())


@pytest.mark.parametrize(
    ("source", "clip"),
    [
        ("a.mp4", True),
        ("A.MKV", True),
        ("-", True),
        ("rtsp://camera/1", True),
        ("/dev/video0", True),
        ("ir/%06d.png", True),
        ("a.png", False),
        ("folder", False),
    ],
)
def test_what_is_a_clip(source: str, clip: bool) -> None:
    assert is_clip(source) is clip


def test_bad_files(tmp_path: Path) -> None:
    write_clip(tmp_path / "vis.mp4", times(10, 0.5), infrared=False, sound=0.5)
    whole = (tmp_path / "vis.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_bytes(b"no video at all" * 100)
    write_image(tmp_path / "still.png", drawn(0, infrared=True))
    with av.open(str(tmp_path / "sound.m4v"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for name, words in (
        ("missing.mp4", "no such file"),
        ("cut.mp4", "not a video, or is truncated"),
        ("empty.mp4", "not a video, or is truncated"),
        ("text.mp4", "not a video, or is truncated"),
        ("sound.m4v", r"no video track \(audio only\)"),
        ("still.png", "is a single picture, not a clip"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            open_clip(str(tmp_path / name), note=silent)
        assert name in str(caught.value)


def test_a_clip_that_ends_before_its_end(tmp_path: Path) -> None:
    write_clip(tmp_path / "vis.mkv", times(25, 4), infrared=False)
    whole = (tmp_path / "vis.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"truncated|damaged"):
        list(open_clip(str(tmp_path / "cut.mkv"), note=silent).frames())


@pytest.mark.parametrize(
    ("name", "encoding", "words"),
    [
        ("a.mp4", Encoding("ffv1"), r"\.mp4 cannot hold ffv1; use \.mkv"),
        ("a.webm", Encoding("h264"), r"\.webm cannot hold h264"),
        ("a.avi", Encoding(), "not a video that can be written"),
        ("a.mp4", Encoding(quality=99), "runs from 0"),
        ("a.mkv", Encoding("ffv1", quality=5), "lossless"),
        ("a.webm", Encoding(bits=10), "10 bits go into"),
    ],
)
def test_what_does_not_go_together(name: str, encoding: Encoding, words: str) -> None:
    with pytest.raises(UserError, match=words):
        encoding.of(Path(name))


def test_every_codec_has_a_container() -> None:
    for name in CODECS:
        assert Encoding(name).of(Path("a.mkv")).name == name


def test_a_clip_that_is_closed_while_another_thread_reads_it(tmp_path: Path) -> None:
    write_clip(tmp_path / "vis.mp4", times(25, 4), infrared=False)
    for pause in (0.0, 0.001, 0.003, 0.01) * 5:
        clip = open_clip(str(tmp_path / "vis.mp4"), note=silent)
        read: list[Frame] = []
        thread = threading.Thread(target=lambda clip=clip, read=read: read.extend(clip.frames()))
        thread.start()
        time.sleep(pause)
        clip.close()
        thread.join(timeout=20)
        assert not thread.is_alive()


def test_helpers_find_the_bar() -> None:
    assert abs(bar_of(drawn(1.0, infrared=True)) - 36) < 1
