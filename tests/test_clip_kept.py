"""What the visible clip has beside its pixels, and what becomes of it in each container."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cmmdl import UserError
from cmmdl.files.notes import UndoneNote
from cmmdl.files.video.codecs import Encoding
from cmmdl.files.video.encoding import VideoWriter
from cmmdl.files.video.opening import open_clip

from clip_helpers import av, drawn, times, write_clip  # isort: skip

CODECS = {"opus": ("libopus", 48000), "wmav2": ("wmav2", 44100), "aac": ("aac", 44100), "flac": ("flac", 44100)}


def write_kept(
    path: Path,
    sound: str = "aac",
    *,
    layout: str = "stereo",
    rate: int = 0,
    subtitles: bool = False,
    aspect: Fraction | None = None,
    seconds: float = 1.0,
) -> Path:
    """A clip with sound of any kind, tracks with languages, and titles; each block of sound is a tone of its own."""
    encoder, usual = CODECS.get(sound, (sound, 48000))
    rate = rate or usual
    with av.open(str(path), "w") as container:
        container.metadata.update(title="Flight 7", creation_time="2024-05-01T12:00:00.000000Z")
        stream = container.add_stream("libx264" if path.suffix != ".wmv" else "wmv2", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect or Fraction(1)
        stream.metadata["language"] = "ger"
        options = {"strict": "experimental"} if encoder == "vorbis" else {}
        voice = container.add_stream(encoder, rate=rate, layout=layout, bit_rate=128_000, options=options)
        voice.metadata.update(language="fra", title="Commentary")
        for moment in times(25, seconds):
            frame = av.VideoFrame.from_ndarray(drawn(moment, infrared=False), format="rgb24")
            frame.pts, frame.time_base = round(moment * 25), Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        count = av.AudioLayout(layout).nb_channels
        tones = np.sin(
            np.arange(round(seconds * rate))[None] * 2 * np.pi * 200 * np.arange(1, count + 1)[:, None] / rate
        )
        for start in range(0, tones.shape[1], 1024):
            block = np.ascontiguousarray(0.5 * tones[:, start : start + 1024], np.float32)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(voice.encode(frame))
        container.mux(voice.encode(None))
    return path


def rewritten(clip: Path, out: Path, encoding: Encoding = Encoding(), *, tagged: bool = True) -> list[str]:  # noqa: B008
    """Writes the clip anew; returns what was said."""
    said: list[str] = []
    source = open_clip(str(clip), note=said.append)
    sound = str(clip) if source.facts.has_sound else None
    subtitles = str(clip) if source.facts.has_subtitles else None
    writer = VideoWriter(out, encoding, source.facts, sound=sound, subtitles=subtitles, tagged=tagged, note=said.append)
    for frame in source.frames():
        writer.write(frame)
    writer.finish()
    return said


def heard(path: Path) -> tuple[str, str, np.ndarray[Any, Any], int]:
    """Codec, layout, samples and rate of the first track of sound."""
    with av.open(str(path)) as container:
        track = container.streams.audio[0]
        frames = list(container.decode(track))
        resampler = av.AudioResampler(format="fltp", layout=frames[0].layout.name, rate=frames[0].sample_rate)
        samples = np.concatenate([one.to_ndarray() for frame in frames for one in resampler.resample(frame)], 1)
        return track.codec_context.name, frames[0].layout.name, samples, frames[0].sample_rate


def tones(samples: np.ndarray[Any, Any], rate: int) -> list[int]:
    """The loudest frequency of each channel, to 20 Hz."""
    middle = samples[:, samples.shape[1] // 4 : 3 * samples.shape[1] // 4]
    peaks = np.abs(np.fft.rfft(middle)).argmax(1) * rate / middle.shape[1]
    return [round(peak / 20) * 20 for peak in peaks]


@pytest.mark.parametrize(
    ("made", "sound", "suffix", "becomes"),
    [
        ("vis.mkv", "aac", ".webm", "opus"),
        ("vis.mkv", "opus", ".mov", "aac"),
        ("vis.mkv", "flac", ".mov", "aac"),
        ("vis.mkv", "vorbis", ".mov", "aac"),
        ("vis.avi", "adpcm_ima_wav", ".mkv", "aac"),
        ("vis.avi", "adpcm_ima_wav", ".mov", "aac"),
        ("vis.m2ts", "pcm_bluray", ".mkv", "flac"),
        ("vis.m2ts", "pcm_bluray", ".mp4", "aac"),
        ("vis.wmv", "wmav2", ".mp4", "aac"),
        ("vis.wmv", "wmav2", ".mkv", "aac"),
        ("vis.wmv", "wmav2", ".webm", "opus"),
    ],
)
def test_sound_that_cannot_be_copied_is_encoded_anew(
    tmp_path: Path, made: str, sound: str, suffix: str, becomes: str
) -> None:
    try:
        clip = write_kept(tmp_path / made, sound)
    except (av.FFmpegError, ValueError) as error:
        pytest.skip(f"this FFmpeg does not write {sound}: {error}")
    said = rewritten(clip, tmp_path / f"out{suffix}")
    assert any(f"{sound} sound does not go into {suffix}; it was encoded anew ({becomes})" in line for line in said)
    name, layout, samples, rate = heard(tmp_path / f"out{suffix}")
    assert (name.removeprefix("lib"), layout) == (becomes, "stereo")
    assert 0.85 < samples.shape[1] / rate < 1.1
    assert tones(samples, rate) == [200, 400]


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1", "5.1(side)"])
@pytest.mark.parametrize("suffix", [".mov", ".webm"])
def test_channels_stay_what_they_are(tmp_path: Path, layout: str, suffix: str) -> None:
    clip = write_kept(tmp_path / "vis.mkv", "flac", layout=layout)
    (said,) = rewritten(clip, tmp_path / f"out{suffix}")
    assert "instead of" not in said
    _, found, samples, rate = heard(tmp_path / f"out{suffix}")
    assert found.replace("(side)", "") == layout.replace("(side)", "")
    wanted = [200 * (k + 1) for k in range(len(samples))]
    kept = [k for k in range(len(wanted)) if len(wanted) < 6 or k != 3]  # the fourth of six holds low sounds only
    assert [tones(samples, rate)[k] for k in kept] == [wanted[k] for k in kept]


def test_a_layout_that_the_codec_lacks_is_told(tmp_path: Path) -> None:
    clip = write_kept(tmp_path / "vis.mkv", "flac", layout="hexagonal")
    (said,) = rewritten(clip, tmp_path / "out.webm")
    assert "encoded anew (opus, 5.1 instead of hexagonal)" in said
    assert heard(tmp_path / "out.webm")[1] == "5.1"


def test_sound_that_cannot_be_kept_does_not_cost_the_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_kept(tmp_path / "vis.mkv", "flac")

    def refuses(*_: object) -> None:
        raise av.error.ArgumentError(22, "Invalid argument")

    monkeypatch.setattr("cmmdl.files.video.tracks.Tracks._anew", refuses)
    (said,) = rewritten(clip, tmp_path / "out.mov")
    assert isinstance(said, UndoneNote)
    assert f"{clip}: its sound cannot be kept in {tmp_path / 'out.mov'} and is left out (Invalid argument)" in said
    with av.open(str(tmp_path / "out.mov")) as container:
        assert len(list(container.decode(video=0))) == 25
        assert not container.streams.audio
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.mov", "vis.mkv"]


def test_what_ffmpeg_says_against_the_target_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "vis.mp4", times(10, 0.5), infrared=False)

    def refuses(*_: object) -> None:
        raise av.error.ArgumentError(22, "Invalid argument")

    monkeypatch.setattr("cmmdl.files.video.remux._copy", refuses)
    with pytest.raises(UserError, match=r"out\.mp4: h264 could not be written \(Invalid argument\)"):
        rewritten(tmp_path / "vis.mp4", tmp_path / "out.mp4")


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9", "av1"])
def test_m4v_is_mp4(tmp_path: Path, codec: str) -> None:
    clip = write_kept(tmp_path / "vis.mkv", "opus")
    try:
        rewritten(clip, tmp_path / "out.m4v", Encoding(codec))
    except UserError as error:
        if "this build of PyAV" not in str(error):
            raise
        pytest.skip(str(error))
    with av.open(str(tmp_path / "out.m4v")) as container:
        assert container.metadata["major_brand"] == "isom"
        assert len(list(container.decode(video=0))) == 25
        assert container.streams.audio[0].codec_context.name == "opus"


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "h264"), ("a.mp4", "vp9"), ("a.mp4", "av1"), ("a.mkv", "h264"), ("a.mov", "h265")],
)
def test_the_aspect_of_pixels_is_kept(tmp_path: Path, name: str, codec: str) -> None:
    clip = write_kept(tmp_path / "vis.mp4", aspect=Fraction(4, 3))
    try:
        rewritten(clip, tmp_path / name, Encoding(codec))
    except UserError as error:
        pytest.skip(str(error))
    with av.open(str(tmp_path / name)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_languages_and_titles_are_kept(tmp_path: Path, suffix: str) -> None:
    rewritten(write_kept(tmp_path / "vis.mkv", "opus"), tmp_path / f"out{suffix}")
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        told = {key.lower(): value for key, value in container.metadata.items()}
        assert told["title"] == "Flight 7"
        assert told["creation_time"].startswith("2024-05-01T12:00:00")
        assert container.streams.video[0].language == "ger"
        assert container.streams.audio[0].language == "fra"
        if suffix != ".mov":
            assert "Commentary" in container.streams.audio[0].metadata.values()
    again = [tmp_path / "again.mkv", tmp_path / f"out{suffix}"]
    rewritten(again[1], again[0])
    with av.open(str(again[0])) as container:
        assert container.streams.audio[0].language == "fra"
        assert suffix == ".mov" or container.streams.audio[0].metadata["title"] == "Commentary"


def test_metadata_can_be_left_out(tmp_path: Path) -> None:
    rewritten(write_kept(tmp_path / "vis.mkv"), tmp_path / "out.mkv", tagged=False)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert {key.lower() for key in container.metadata} <= {"encoder"}
        assert container.streams.video[0].language is None
        assert container.streams.audio[0].language is None


def test_subtitles_are_copied_or_told(tmp_path: Path) -> None:
    (tmp_path / "words.srt").write_text("1\n00:00:00,100 --> 00:00:00,700\nhello\n\n")
    clip = write_kept(tmp_path / "vis.mkv")
    with (
        av.open(str(clip)) as pictures,
        av.open(str(tmp_path / "words.srt")) as words,
        av.open(str(tmp_path / "both.mkv"), "w") as both,
    ):
        copies = {
            track: both.add_stream_from_template(track, opaque=True)
            for track in (pictures.streams.video[0], words.streams.subtitles[0])
        }
        for file in (pictures, words):
            for packet in file.demux([track for track in copies if track in file.streams]):
                if packet.size:
                    packet.stream = copies[packet.stream]
                    both.mux(packet)
    assert rewritten(tmp_path / "both.mkv", tmp_path / "out.mkv") == []
    with av.open(str(tmp_path / "out.mkv")) as container:
        (packet,) = (one for one in container.demux(subtitles=0) if one.size)
        assert bytes(packet) == b"hello"
        assert abs(float(packet.pts * packet.time_base) - 0.1) < 0.002
    said = rewritten(tmp_path / "both.mkv", tmp_path / "out.mp4")
    assert [line.split(": ")[1] for line in said] == ["subrip subtitles do not go into .mp4; .mkv keeps them"]


def test_interlaced_frames_are_told(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "vis.mkv"), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25, options={"flags": "+ildct+ilme", "field_order": "tt"})
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for moment in times(25, 0.2):
            frame = av.VideoFrame.from_ndarray(drawn(moment, infrared=False), format="rgb24")
            frame.pts = round(moment * 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    said: list[str] = []
    open_clip(str(tmp_path / "vis.mkv"), note=said.append).close()
    assert len(said) == 1
    assert "is interlaced" in said[0]
    write_clip(tmp_path / "b.mp4", times(10, 0.3), infrared=False)
    open_clip(str(tmp_path / "b.mp4"), note=said.append).close()
    assert len(said) == 1
