"""Slips of the pen that other tests would let pass, found by `benchmarks/mutants`: one small test for each."""

from __future__ import annotations

import io
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterator
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
from cmmdl.errors import UnreadableError, UnusableError, UserError
from cmmdl.files import flir, ifd, reading
from cmmdl.files.codecs import _png_white, read_heif
from cmmdl.files.filepicture import is_turned
from cmmdl.files.ifd import Directory
from cmmdl.files.images import write_image
from cmmdl.files.levels import to_levels
from cmmdl.files.listing import Found, _entries, list_pictures
from cmmdl.files.marks import Mark
from cmmdl.files.metadata import _with_resolution, read_metadata
from cmmdl.files.naming import Naming
from cmmdl.files.palettes import known_palettes
from cmmdl.files.pictures import to_picture
from cmmdl.files.ranges import Span, _values
from cmmdl.files.reading import read_picture
from cmmdl.files.thermal import HOTTEST, Conditions, Thermal, _read_celsius, check_celsius
from cmmdl.files.video.clip import Facts, Frame
from cmmdl.files.video.opening import _check_size, is_recording
from cmmdl.files.video.raw import RawFrames, RawWriter
from cmmdl.fusion import painting, pipeline, sources
from cmmdl.fusion.clip import ClipReport, _count, _Stop
from cmmdl.fusion.fitting import colour_note
from cmmdl.fusion.laid import Laid
from cmmdl.fusion.lay_pictures import stored
from cmmdl.fusion.live import LivePairing
from cmmdl.fusion.options import FuseOptions
from cmmdl.fusion.painting import colours_of
from cmmdl.fusion.pipeline import Newest
from cmmdl.fusion.products import Products, Sources, write_products
from cmmdl.fusion.products import _values as _values_of_hues
from cmmdl.fusion.sources import _range, looked_at, not_radiometric
from cmmdl.fusion.steady import FlowField, Steady
from cmmdl.fusion.temperatures import sampled
from cmmdl.fusion.tiling import exact_tile
from cmmdl.metrics import METRICS, vifb, windows
from cmmdl.metrics.perception import _contrast
from cmmdl.metrics.soft import soft_mutual_information

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

    def test_a_key_takes_one_place_of_a_name(self) -> None:
        assert Mark("ir", "inside", "a_ir_b").named("7") == "7_ir_*"

    def test_folders_below_once_each(self, tmp_path: Path) -> None:
        for place in ("a.png", "below/b.png", "below/deep/c.png"):
            (tmp_path / place).parent.mkdir(exist_ok=True)
            Image.fromarray(GREY).save(tmp_path / place)
        (tmp_path / "below/ring").symlink_to(tmp_path, target_is_directory=True)
        found = [one.where + one.stem for one in list_pictures(tmp_path, recursive=True)]
        assert sorted(found) == ["a", "below/b", "below/deep/c"]

    def test_colours_of_a_palette_picture_are_not_metadata(self, tmp_path: Path) -> None:
        table = np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))
        tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="palette", colormap=table)
        assert 320 not in read_metadata(tmp_path / "a.tif").exif.entries

    @pytest.mark.parametrize("tag", [332, 333, 334, 336, 512, 513, 514, 529])
    def test_inks_and_jpeg_tables_of_a_tiff_are_not_metadata(self, tag: int, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", GREY, extratags=[(tag, 3, 1, 1, True)], software="Program")
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            assert tag in file.pages.first.tags
        assert tag not in read_metadata(tmp_path / "a.tif").exif.entries

    def test_a_missing_file_is_told_from_a_damaged_one(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadableError, match=r"gone\.png: there is no such file; check the path"):
            read_picture(tmp_path / "gone.png")

    def test_orientations_that_exchange_width_and_height(self) -> None:
        assert [number for number in range(10) if is_turned(number)] == [5, 6, 7, 8]

    @pytest.mark.parametrize(("ratio", "sound"), [(0.19, False), (0.21, True), (1.3, True), (9.9, True), (10.1, False)])
    def test_the_offset_that_a_camera_states(self, ratio: float, sound: bool) -> None:
        pytest.importorskip("flyr")
        record = struct.pack("<f6h", ratio, -3, 5, 0, 0, 0, 0)
        stated = flir.stated_offset(flir.Records(Path("a.jpg"), bytes(8) + record, {42: (8, len(record))}, cut=False))
        assert stated == ((pytest.approx(ratio), -3, 5) if sound else None)

    def test_resolution_has_a_tag_for_each_axis(self) -> None:
        entries = _with_resolution(Directory(), (72.0, 96.5)).entries
        assert set(entries) == {282, 283, 296}
        assert np.frombuffer(entries[282].data, "<u4").tolist() == [720000, 10000]
        assert np.frombuffer(entries[283].data, "<u4").tolist() == [965000, 10000]
        assert np.frombuffer(entries[296].data, "<u2").tolist() == [2], "inches"

    def test_a_resolution_that_is_there_stays(self) -> None:
        exif = Directory().put(282, ifd.RATIONAL, 300, 1)
        assert _with_resolution(exif, (72.0, 96.5)) is exif
        assert set(_with_resolution(Directory().put(283, ifd.RATIONAL, 300, 1), (72.0, 72.0)).entries) == {
            282,
            283,
            296,
        }

    def test_a_tiff_of_the_other_order_of_bytes(self, tmp_path: Path) -> None:
        deep = GREY.astype(">u2") * 257
        tifffile.imwrite(tmp_path / "a.tif", deep, byteorder=">", photometric="minisblack")
        found = read_picture(tmp_path / "a.tif").array
        assert found.dtype.isnative
        assert found.tolist() == deep.tolist()

    def test_only_whole_numbers_are_stored_as_differences(self, tmp_path: Path) -> None:
        for dtype, predictor in ((np.uint8, 2), (np.uint16, 2), (np.float32, 1)):
            write_image(tmp_path / "a.tif", GREY.astype(dtype))
            with tifffile.TiffFile(tmp_path / "a.tif") as file:
                assert file.pages.first.predictor == predictor

    def test_alpha_says_nothing_about_the_bits_of_colour(self) -> None:
        deep = np.arange(1000, dtype=np.uint16).reshape(20, 50)
        for bits, white in (((10, 10, 10, 16), 1023.0), ((10, 16, 10, 10), None)):
            data = b"head" + struct.pack(">I", 4) + b"sBIT" + bytes(bits) + b"crc IDAT"
            assert _png_white(data, deep) == white

    def test_heic_without_its_reader(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        with pytest.raises(UnreadableError, match=r"pip install 'cmmdl\[heic\]'"):
            read_heif(tmp_path / "a.heic", 100)

    def test_a_picture_that_memory_does_not_hold(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def reader(path: Path, max_pixels: int) -> None:
            raise MemoryError

        (tmp_path / "a.png").write_bytes(b"something")
        monkeypatch.setattr(reading, "_reader", lambda path: reader)
        with pytest.raises(UnreadableError, match=r"a\.png: not enough memory to decode it"):
            read_picture(tmp_path / "a.png")

    def test_a_file_is_not_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").touch()
        with pytest.raises(UserError, match=r"a\.png is not a folder; give the folder"):
            _entries(tmp_path / "a.png")

    def test_a_suffix_may_be_missing_where_each_side_has_its_folder(self) -> None:
        names = Naming(ir_suffix="_ir", vis_suffix="_vis")
        assert [pattern.optional for pattern in names.patterns(one_folder=True)] == [False, False]
        assert [pattern.optional for pattern in names.patterns(one_folder=False)] == [True, True]

    def test_values_for_a_range_are_taken_from_the_first_on(self) -> None:
        assert _values(np.arange(10, dtype=np.uint16), most=4).tolist() == [0, 3, 6, 9]
        assert _values(np.arange(4, dtype=np.uint16), most=4).tolist() == [0, 1, 2, 3]

    def test_one_level_above_the_declared_white_leaves_the_range(self) -> None:
        for kind, highest, leaves in (("uint16", 4095, False), ("uint16", 4096, True), ("float32", 4095 + 1e-7, False)):
            assert Span((kind, 4095.0), 0, highest, 0, highest).leaves == leaves

    def test_three_bands_of_which_none_is_extra_are_colour(self, tmp_path: Path) -> None:
        pixels = np.stack([GREY, GREY // 2, GREY // 3], 2)
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
        with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
            file.pages.first.tags["PhotometricInterpretation"].overwrite(1)
        assert read_picture(tmp_path / "a.tif").array.tolist() == pixels.tolist()

    @pytest.mark.parametrize("count", [512, 513])
    def test_a_camera_has_at_most_512_records(self, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        head = (b"FFF\0".ljust(20, b"\0") + struct.pack(">3I", 100, 64, count)).ljust(64, b"\0")
        monkeypatch.setattr(flir, "_joined", lambda path: (head + bytes(32 * count), False))
        if count == 512:
            assert flir.read_records(Path("a.jpg")).places == {}
        else:
            with pytest.raises(UnreadableError, match="directory of its thermal data is incomplete"):
                flir.read_records(Path("a.jpg"))


class TestTemperatures:
    def test_a_file_that_is_gone(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadableError, match=r"gone\.tif: cannot be read \(No such file or directory\)"):
            _read_celsius(tmp_path / "gone.tif")

    def test_infinite_is_missing(self, tmp_path: Path) -> None:
        celsius = np.array([[20, np.inf], [-np.inf, 21]], np.float32)
        tifffile.imwrite(tmp_path / "a.tif", celsius)
        np.testing.assert_array_equal(_read_celsius(tmp_path / "a.tif").celsius, [[20, np.nan], [np.nan, 21]])

    def test_the_hottest_that_counts_as_a_temperature(self) -> None:
        check_celsius(np.array([20, HOTTEST]), "a.tif")
        with pytest.raises(UnusableError, match="are no °C"):
            check_celsius(np.array([20, HOTTEST + 1]), "a.tif")

    def test_a_range_in_percent_of_temperatures(self) -> None:
        options = FuseOptions(ir_range="25%:75%")
        thermal = Thermal(np.array([[10, 20, 30, 40, 50, np.nan]], np.float32), name="a.tif")
        assert _range(thermal, options) == (20.0, 40.0)
        assert _range(Thermal(np.full((2, 2), 7, np.float32), name="a.tif"), options) is None
        assert _range(thermal, FuseOptions(ir_range="15:35")) == (15.0, 35.0)
        assert _range(thermal, FuseOptions()) is None

    @pytest.mark.parametrize(("count", "looked"), [(1, 1), (64, 64), (65, 33), (128, 64), (129, 43)])
    def test_at_most_64_files_decide_what_means_black(self, count: int, looked: int) -> None:
        assert len(looked_at(count)) == looked

    def test_the_border_belongs_to_the_picture(self) -> None:
        """Half a pixel beyond the outermost centres, and not a little more."""
        celsius = np.array([[10, 20, 30], [40, 50, 60]], np.float32)
        for x, y, value in ((2.5, 0, 30), (-0.5, 0, 10), (0, 1.5, 40), (0, -0.5, 10), (2.5, 1.5, 60)):
            assert sampled(celsius, np.array([[x]]), np.array([[y]])).tolist() == [[value]]
        for x, y in ((2.51, 0), (-0.51, 0), (0, 1.51), (0, -0.51)):
            assert np.isnan(sampled(celsius, np.array([[x]]), np.array([[y]]))).all()

    def test_hues_follow_the_range_where_there_are_no_temperatures(self) -> None:
        ir = to_picture(np.array([[100, 120], [160, 200]], np.uint8), name="ir", given=(100, 200))
        values, ends = _values_of_hues(Laid(ir, ir), Products(palette="iron"))
        assert ends == (100, 200)
        np.testing.assert_allclose(values, [[100, 120], [160, 200]], atol=1e-4)

    def test_the_caption_of_a_legend_is_as_large_as_fits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        genuine, asked = painting._font, list[int]()

        def font(size: int) -> Any:
            asked.append(size)
            return genuine(size)

        monkeypatch.setattr(painting, "_font", font)
        height = int(np.ceil(genuine(12).getlength(painting.CAPTION))) + 4
        for less, size in ((0, 12), (1, 11)):
            asked.clear()
            painting._caption(Image.new("RGB", (60, height)), 15, height - less)
            assert asked[-1] == size

    def test_a_camera_file_is_no_visible_picture(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sources, "radiometric_maker", lambda path: "dji")
        thermal = Thermal(np.full((6, 8), 20, np.float32), name="ir.jpg")
        with pytest.raises(UnusableError, match=r"vis\.jpg is a radiometric JPEG, given as the visible picture"):
            sources._lay_temperatures(thermal, "ir.jpg", "vis.jpg", FuseOptions(), to_picture, lambda note: None)

    def test_the_caption_of_a_legend_is_left_out_where_it_does_not_fit(self) -> None:
        height = int(np.ceil(painting._font(8).getlength(painting.CAPTION))) + 4
        for less, there in ((0, True), (1, False)):
            image = Image.new("RGB", (60, height - less))
            painting._caption(image, 15, height - less)
            assert (image.getbbox() is not None) == there

    def test_both_ends_of_a_palette(self) -> None:
        table = known_palettes()["iron"]
        found = colours_of(np.array([[-1, 0, 1, 2]], np.float32), table)[:, 0].T * 255
        assert np.rint(found).astype(int).tolist() == [table[n].tolist() for n in (0, 0, -1, -1)]

    @pytest.mark.parametrize(
        ("name", "sums"),
        [
            ("bluegold", [33765, 34051, 34083]),
            ("iron", [42863, 18337, 21765]),
            ("rainbow", [27575, 33723, 26415]),
            ("arctic", [33924, 34773, 37091]),
        ],
    )
    def test_own_palettes_stay_what_painted_pictures_have(self, name: str, sums: list[int]) -> None:
        assert known_palettes()[name].sum(0, dtype=int).tolist() == sums

    def test_jet_is_that_of_matplotlib(self) -> None:
        colormaps = pytest.importorskip("matplotlib").colormaps
        theirs = colormaps["jet"](np.arange(256), bytes=True)[:, :3].astype(int)
        assert np.abs(known_palettes()["jet (Matplotlib)"].astype(int) - theirs).max() <= 1


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
            assert len(told) == 1
        assert told == ["standard output: -f rawvideo -pixel_format gray -video_size 8x6 -framerate 25"]
        assert writer.abandon() == "2 frames were written"
        assert file.getvalue() == GREY.tobytes() * 2

    def test_raw_frames_go_with_recordings_and_with_cameras(self) -> None:
        clip = RawFrames(8, 6, "gray", file=io.BytesIO(GREY.tobytes() * 2))
        assert clip.facts.piped
        assert not clip.facts.live

    @pytest.mark.parametrize(
        ("pixel", "stored"), [("rgb24", "rgb"), ("bgr24", "bgr"), ("rgba", "rgba"), ("bgra", "bgra")]
    )
    def test_the_order_of_channels_in_raw_frames(self, pixel: str, stored: str) -> None:
        values = {"r": 10, "g": 20, "b": 30, "a": 40}
        frame = bytes(values[channel] for channel in stored) * 48
        clip = RawFrames(8, 6, pixel, file=io.BytesIO(frame * 2))
        assert [np.unique(one.pixels.reshape(-1, 3), axis=0).tolist() for one in clip.frames()] == [[[10, 20, 30]]] * 2

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
                facts=SimpleNamespace(seconds=seconds, rate=Fraction(3)), live=False, name=name, closed=False,
                lasts=Fraction(1, 3),
            )  # fmt: skip
            if name == "whole.mp4":
                DecodedClip._check_end(clip, Fraction(0))
            else:
                with pytest.raises(UnreadableError, match=r"short\.mp4 is truncated"):
                    DecodedClip._check_end(clip, Fraction(0))

    def test_frames_above_the_limit(self) -> None:
        clip: Any = SimpleNamespace(facts=Facts("a.mp4", 6, 8))
        _check_size(clip, 48)
        with pytest.raises(UnusableError, match=r"a\.mp4: frames of 8x6 are above the limit .*--max-pixels 48"):
            _check_size(clip, 47)

    def test_all_latencies_are_kept(self) -> None:
        report = ClipReport()
        for _ in range(3):
            _count(report, Frame(Fraction(0), GREY, time.monotonic()), time.monotonic(), live=True)
        assert len(report.latencies) == 3

    def test_the_nearest_waits_for_the_first(self) -> None:
        def late() -> Iterator[int]:
            time.sleep(0.05)
            yield 3

        assert Newest(late()).nearest(abs) == 3

    def test_the_newest_is_there_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What waits for a frame or for the end is woken, and does not look only now and then."""
        monkeypatch.setattr(pipeline, "_TICK", 30)
        frame, end = threading.Event(), threading.Event()

        def source() -> Iterator[int]:
            frame.wait()
            yield 3
            end.wait()

        newest, begun = Newest(source()), time.monotonic()
        for happens, value in ((frame, 3), (end, None)):
            threading.Timer(0.2, happens.set).start()
            assert newest.next() == value
        assert time.monotonic() - begun < 20

    def test_live_frames_are_paired_by_arrival_and_timed_from_the_first(self) -> None:
        def one_by_one(frames: list[Frame]) -> Iterator[Frame]:
            for frame in frames:
                while len(taken) < len(frames) and frame is not frames[len(taken)]:
                    time.sleep(0.001)
                yield frame

        now, taken = time.monotonic(), list[Any]()
        ir = [Frame(Fraction(n), GREY, now + n) for n in range(3)]
        vis = [Frame(Fraction(0), GREY, now + moment) for moment in (1.25, 1.75)]
        pairing = LivePairing(ir, one_by_one(vis), (Facts("ir", 6, 8), Facts("vis", 6, 8)))
        while not pairing.ir.ended:
            time.sleep(0.001)
        for pair in pairing:
            taken.append(pair)
        assert [pair.ir.arrived - now for pair in taken] == [pytest.approx(1), pytest.approx(2)]
        assert [float(pair.vis.time) for pair in taken] == [0, 0.5]

    def test_frames_without_a_time_follow_at_the_rate_of_the_clip(self) -> None:
        pytest.importorskip("av")
        from cmmdl.files.video.decoding import DecodedClip

        notes = list[str]()
        shape = {"height": 6, "width": 8, "duration": 4}
        frames = [SimpleNamespace(pts=pts, time_base=Fraction(1, 100), **shape) for pts in (20, None, 3, 4)]
        clip: Any = SimpleNamespace(
            name="a.mp4", first=frames[0], _from=lambda first: iter(frames), _pixels=lambda frame: GREY,
            facts=SimpleNamespace(rate=Fraction(25)), origin=Fraction(0), note=notes.append,
            _check_end=lambda last: None, counted=False,
        )  # fmt: skip
        clip._time = lambda frame, last: DecodedClip._time(clip, frame, last)
        assert [frame.time for frame in DecodedClip.frames(clip)] == [Fraction(1, 5), Fraction(6, 25)]
        assert notes == ["a.mp4: frames left out because their time does not follow the one before: 2"]

    def test_without_frames_there_is_no_latency(self) -> None:
        assert ClipReport().latency == 0

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

    @pytest.mark.parametrize("kept", ["vis", "none"])
    def test_a_history_is_written_only_where_metadata_is(self, kept: Any, tmp_path: Path) -> None:
        for name in ("ir.png", "vis.png"):
            Image.fromarray(GREY).save(tmp_path / name)
        picture = to_picture(GREY, name="a")
        files = Sources(tmp_path / "ir.png", tmp_path / "vis.png", tmp_path / "out.png", "a")
        for origin in ({}, {"software": "CMMDL 0"}):
            wanted = Products(metadata=kept, origin=origin)
            write_products(Laid(picture, picture), GREY, files, wanted, FuseOptions(), "uint8", lambda note: None)
            assert bool(read_metadata(files.out).exif.children) == bool(origin and kept == "vis")

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

    def test_the_smallest_tile_that_is_exact(self, monkeypatch: pytest.MonkeyPatch) -> None:
        used = list[str]()
        for name in ("fuse_tiled", "fuse_tiled_exactly"):
            monkeypatch.setattr(f"cmmdl.fusion.fuser.{name}", lambda *_, name=name, **__: used.append(name))
        fuser = Fuser("mean", note=lambda note: None)
        fuser.backend = SimpleNamespace(reach=40)  # type: ignore[assignment]
        pixels = np.zeros((1, 1, 900, 900), np.float32)
        for tile in (exact_tile(40), exact_tile(40) - 1):
            fuser._tiled(pixels, pixels, tile)
        assert used == ["fuse_tiled_exactly", "fuse_tiled"]

    @pytest.mark.parametrize(("fitting", "batches"), [(96, [2]), (95, [1, 1])])
    def test_a_batch_that_just_fits_is_fused_at_once(
        self, fitting: int, batches: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = list[int]()
        fuser = Fuser("mean")
        monkeypatch.setattr(fuser, "_pixels_that_fit", lambda: float(fitting))
        monkeypatch.setattr(fuser, "_run", lambda ir, vis: seen.append(len(vis)) or vis)
        pixels = np.zeros((2, 1, 6, 8), np.float32)
        assert fuser.fuse_luma(pixels, pixels).shape == pixels.shape
        assert seen == batches

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

    def test_flat_sources_share_nothing_with_the_result(self) -> None:
        """Soft mutual information, whichever of the three is flat."""
        noise = torch.rand(1, 1, 40, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        flat = torch.full_like(noise, 0.5)
        for pictures in ((noise, flat, flat), (flat, noise, noise)):
            assert soft_mutual_information(*pictures).item() == pytest.approx(0, abs=1e-6)
        assert soft_mutual_information(noise, noise, flat).item() > 1

    def test_the_least_cross_entropy(self) -> None:
        """p log2(p / q) of one grey level is least where q is 1 and p is 1/e."""
        assert -np.log2(np.e) / np.e > METRICS["CE"].range[0] == -0.54

    def test_information_of_what_is_flat(self) -> None:
        noise = torch.rand(1, 1, 64, 96, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        half = torch.where(torch.arange(96) < 48, 0.5, noise)
        assert METRICS["VIF"].function(half, half, half).item() == pytest.approx(2, abs=1e-3)
        assert METRICS["VIF"].function(torch.full_like(noise, 0.5), noise, noise).item() == pytest.approx(0, abs=1e-6)

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
