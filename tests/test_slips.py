"""Slips of the pen that other tests would let pass, found by `benchmarks/mutants`: one small test for each."""

from __future__ import annotations

import io
import os
import signal
import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, PngImagePlugin
from scipy import ndimage
from torch import Tensor, nn

from cmmdl import Fuser
from cmmdl.align import identity
from cmmdl.align.transform import save
from cmmdl.errors import UnreadableError, UnusableError
from cmmdl.files.levels import to_levels
from cmmdl.files.listing import Found, list_pictures
from cmmdl.files.marks import Mark
from cmmdl.files.metadata import read_metadata
from cmmdl.files.palettes import known_palettes
from cmmdl.files.pictures import to_picture
from cmmdl.files.reading import read_picture
from cmmdl.files.thermal import Conditions
from cmmdl.files.video.clip import Facts, Frame
from cmmdl.files.video.opening import is_recording
from cmmdl.files.video.raw import RawWriter
from cmmdl.fusion.clip import ClipReport, _count, _Stop
from cmmdl.fusion.fitting import colour_note
from cmmdl.fusion.lay_pictures import stored
from cmmdl.fusion.live import LivePairing
from cmmdl.fusion.options import FuseOptions
from cmmdl.fusion.sources import not_radiometric
from cmmdl.fusion.steady import FlowField, Steady
from cmmdl.metrics import METRICS, vifb, windows
from cmmdl.metrics.perception import _contrast

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


class TestFiles:
    def test_levels_between_a_given_black_and_white(self) -> None:
        assert to_levels(np.array([10, 20, 30], np.uint8), 10, 30).tolist() == [0, 128, 255]
        assert to_levels(np.array([10, 20, 30], np.uint8), 0, 255).tolist() == [10, 20, 30]

    def test_exif_that_imagemagick_keeps_in_a_text(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x010F] = "Maker"
        data, chunks = exif.tobytes(), PngImagePlugin.PngInfo()
        chunks.add_text("Raw profile type exif", f"\nexif\n{len(data):8}\n{data.hex()}\n")
        Image.fromarray(GREY).save(tmp_path / "a.png", pnginfo=chunks)
        assert read_metadata(tmp_path / "a.png").exif.text(0x010F) == "Maker"

    def test_how_pixels_lie_in_a_tiff_is_not_metadata(self, tmp_path: Path) -> None:
        with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
            writer.write(GREY, subifds=1, software="Program", description="words")
            writer.write(GREY[:3, :4])
        tags = set(read_metadata(tmp_path / "a.tif").exif.entries)
        assert not tags & {254, 256, 257, 258, 259, 262, 273, 277, 278, 279, 330}
        assert 305 in tags

    def test_white_at_0_needs_whole_numbers(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", GREY.astype(np.float32), photometric="miniswhite")
        with pytest.raises(UnreadableError, match="0 is white in float32"):
            read_picture(tmp_path / "a.tif")

    def test_a_mark_ends_where_a_word_does(self) -> None:
        mark = Mark("ir", "first", "ir_1")
        assert mark.key(Found("", "ir_1", Path())) == "1"
        assert mark.key(Found("", "iris_1", Path())) is None

    @pytest.mark.parametrize(
        ("mark", "text"),
        [
            (Mark("ir", "first", "IR_1"), "IR_*"),
            (Mark("ir", "first", "IR_I"), "IR_*"),
            (Mark("ir", "last", "R_IR"), "*_IR"),
            (Mark("ir", "last", "1_ir"), "*_ir"),
        ],
    )
    def test_a_mark_in_words(self, mark: Mark, text: str) -> None:
        assert str(mark) == text
        assert mark.named("7") == text.replace("*", "7")

    def test_folders_below_once_each(self, tmp_path: Path) -> None:
        for place in ("a.png", "below/b.png", "below/deep/c.png"):
            (tmp_path / place).parent.mkdir(exist_ok=True)
            Image.fromarray(GREY).save(tmp_path / place)
        (tmp_path / "below/ring").symlink_to(tmp_path, target_is_directory=True)
        found = [one.where + one.stem for one in list_pictures(tmp_path, recursive=True)]
        assert sorted(found) == ["a", "below/b", "below/deep/c"]


class TestClips:
    def test_what_is_a_recording(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "pages.tif", np.zeros((3, 6, 8), np.uint8), photometric="minisblack")
        tifffile.imwrite(tmp_path / "page.tif", GREY)
        assert is_recording("rtsp://camera/1")
        assert is_recording("nowhere.mp4")
        assert is_recording(tmp_path / "pages.tif")
        assert not is_recording(tmp_path / "page.tif")
        assert not is_recording("a.png")

    def test_the_first_raw_frame_is_explained_and_all_are_counted(self) -> None:
        told, file = list[str](), io.BytesIO()
        writer = RawWriter(None, rate=Fraction(25), told=told.append, file=file)
        for _ in range(2):
            writer.write(Frame(Fraction(0), GREY))
        assert told == ["standard output: -f rawvideo -pixel_format gray -video_size 8x6 -framerate 25"]
        assert writer.abandon() == "2 frames were written"
        assert file.getvalue() == GREY.tobytes() * 2

    def test_the_end_of_a_stream_that_starts_late(self) -> None:
        pytest.importorskip("av")
        from cmmdl.files.video.decoding import _end

        stream = SimpleNamespace(duration=50, start_time=10, time_base=Fraction(1, 25))
        assert _end(None, stream) == Fraction(60, 25)

    def test_a_file_may_end_three_frames_and_half_a_second_early(self) -> None:
        pytest.importorskip("av")
        from cmmdl.files.video.decoding import DecodedClip

        for seconds, name in ((1.5, "whole.mp4"), (1.51, "short.mp4")):
            clip: Any = SimpleNamespace(
                facts=SimpleNamespace(seconds=seconds, rate=Fraction(3)), live=False, name=name, closed=False
            )
            if name == "whole.mp4":
                DecodedClip._check_end(clip, Fraction(0))
            else:
                with pytest.raises(UnreadableError, match=r"short\.mp4 is truncated"):
                    DecodedClip._check_end(clip, Fraction(0))

    def test_latency_counts_from_the_arrival(self) -> None:
        report = ClipReport()
        _count(report, Frame(Fraction(0), GREY, time.monotonic() - 0.5), time.monotonic(), live=True)
        assert report.count == 1
        assert 0.5 <= report.latency < 5

    @pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")
    def test_a_signal_ends_the_loop_and_not_the_process(self) -> None:
        before = signal.getsignal(signal.SIGTERM)
        with _Stop() as stop:
            assert stop.next(iter([1])) == 1
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            assert stop.next(iter([1])) is None
            assert stop.asked == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) is before

    def test_a_live_side_that_ends_is_whole(self) -> None:
        frames = [Frame(Fraction(0), GREY, time.monotonic()) for _ in range(2)]
        pairing = LivePairing([frames[0]], frames[1:], (Facts("ir", 6, 8), Facts("vis", 6, 8)))
        assert len(list(pairing)) == 1
        assert pairing.whole

    def test_fine_detail_is_trusted_by_how_far_it_differs_from_noise(self) -> None:
        """A chequerboard of 10 levels: 31x31 pixels of it differ by 10/961 on average, each by 10."""
        rows, columns = np.indices((96, 96), np.float32)
        board = np.where((rows + columns) % 2, 10, -10).astype(np.float32)
        steady = Steady()
        steady.noise = 5.0
        luma = np.full((96, 96), 0.5, np.float32)
        step = FlowField(columns, rows, np.ones((96, 96), np.float32))
        bright, fine = steady._parts(luma + board / 255, luma, step)
        assert steady.noise == pytest.approx(5 + 0.2 * (10 - 5), abs=0.01)
        expected = 10 * np.exp(-((10 / (30 + 8 * 6)) ** 2))
        assert np.abs(fine[40:56, 40:56]).mean() * 255 == pytest.approx(expected, abs=0.02)
        assert np.abs(bright).max() * 255 < 0.5


class TestFusion:
    def test_the_name_of_what_is_no_camera_file(self) -> None:
        options = FuseOptions(conditions=Conditions(emissivity=0.9))
        assert "--emissivity" in not_radiometric("a.png", options)
        assert "a.png" in not_radiometric("a.png", options)
        assert "the infrared picture" in not_radiometric(GREY, options)
        assert "[" not in not_radiometric(GREY, options)

    def test_a_stored_transform_serves_smaller_pictures_of_its_aspect(self, tmp_path: Path) -> None:
        save(identity((640, 512), (1280, 1024)), tmp_path / "a.json")
        found = stored(str(tmp_path / "a.json"), (320, 256), (640, 512), "b")
        assert (found.ir_size, found.vis_size) == ((320, 256), (640, 512))
        with pytest.raises(UnusableError, match=r"is for infrared pictures of 640x512, b has one of 320x240"):
            stored(str(tmp_path / "a.json"), (320, 240), (640, 512), "b")
        with pytest.raises(UnusableError, match=r"is for visible pictures of 1280x1024, b has one of 640x480"):
            stored(str(tmp_path / "a.json"), (320, 256), (640, 480), "b")

    def test_a_painted_array_is_recognised(self) -> None:
        ramp = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
        notes = list[str]()
        fuser = Fuser("max", note=notes.append)
        fused = fuser(known_palettes()["iron"][ramp], np.zeros_like(ramp), ir_palette="auto")
        assert any("is painted in iron" in note for note in notes)
        assert np.abs(np.asarray(fused).astype(int) - ramp).max() <= 2

    def test_channels_that_jpeg_sets_apart_are_grey(self) -> None:
        vis = to_picture(GREY, name="vis")
        for apart, told in ((4, False), (6, True)):
            pixels = np.stack([GREY, GREY, GREY], 2)
            pixels[2, 3, 0] += apart
            assert bool(colour_note(to_picture(pixels, name="ir"), vis)) == told

    def test_fusers_side_by_side_have_a_backend_each(self) -> None:
        fuser = Fuser("mean")
        fuser.backend = SimpleNamespace(side_by_side=lambda count: [f"backend {n}" for n in range(count)])  # type: ignore[assignment]
        assert [one.backend for one in fuser.side_by_side(2)] == ["backend 0", "backend 1"]

    def test_what_does_not_fit_is_fused_in_tiles_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes = set[tuple[int, ...]]()

        class Mean(nn.Module):
            def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
                sizes.add(tuple(vis.shape[-2:]))
                return (ir + vis) / 2

        monkeypatch.setattr(Fuser, "_pixels_that_fit", lambda self: 160.0 * 160)
        picture = np.full((200, 300), 90, np.uint8)
        assert np.unique(Fuser(Mean(), note=lambda note: None)(picture, picture)).tolist() == [90]
        assert sizes == {(160, 160)}


class TestMetrics:
    def test_a_single_map_is_no_dense_convolution(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen, genuine = list[int](), windows.conv2d

        def conv2d(*args: Any, groups: int) -> Tensor:
            seen.append(groups)
            return genuine(*args, groups=groups)

        monkeypatch.setattr(windows, "conv2d", conv2d)
        x = torch.rand(3, 1, 9, 8, dtype=torch.float64)
        for maps in (x[:1], x):
            ours = windows._convolve(maps, [0.25, 0.5, 0.25], [0.5, 0.5])
            torch.testing.assert_close(ours, windows.separable(maps, [0.25, 0.5, 0.25], [0.5, 0.5]))
        assert seen == [2, 2, 3, 3]  # a group a map

    def test_vifb_sf_is_of_the_channels_side_by_side(self) -> None:
        levels = np.random.default_rng(1).integers(0, 256, (3, 7, 9)).astype(float)
        wide = np.concatenate(list(levels), 1)
        squares = sum(np.square(np.diff(wide, axis=axis)).sum() for axis in (0, 1))
        ours = vifb.spatial_frequency(torch.from_numpy(levels[:, None] / 255))
        assert ours.tolist() == [pytest.approx(np.sqrt(squares / wide.size), rel=1e-12)]

    def test_the_least_cross_entropy(self) -> None:
        """p log2(p / q) of one grey level is least where q is 1 and p is 1/e."""
        assert -np.log2(np.e) / np.e > METRICS["CE"].range[0] == -0.54

    def test_masked_contrast_of_the_eye(self) -> None:
        """An independent version: numpy's FFT, scipy's Gaussians with a border of zeros."""
        levels = np.random.default_rng(2).integers(0, 256, (40, 52)).astype(float)
        down, across = np.fft.fftfreq(40, 1 / 40) / 15, np.fft.fftfreq(52, 1 / 52) / 15
        r = np.sqrt(down[:, None] ** 2 + across**2)
        response = np.exp(-((r / 15.3870) ** 2)) - 0.7622 * np.exp(-((r / 1.3456) ** 2))
        seen = np.fft.ifft2(np.fft.fft2(levels) * response).real
        taps = [np.exp(-(np.arange(-15, 16) ** 2) / (2 * s * s)) / (np.sqrt(2 * np.pi) * s) for s in (2.0, 4.0)]
        fine, coarse = (
            ndimage.correlate1d(ndimage.correlate1d(seen, t, 0, mode="constant"), t, 1, mode="constant") for t in taps
        )
        contrast = np.abs(fine / coarse - 1)
        ours = _contrast(torch.from_numpy(levels)[None, None])[0, 0].numpy()
        np.testing.assert_allclose(ours, contrast**3 / (contrast**2 + 1e-4), rtol=1e-6)
