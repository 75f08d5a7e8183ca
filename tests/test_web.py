"""The page that needs no server, in headless Chromium: against Python, with a network and without."""

from __future__ import annotations

import functools
import http.server
import io
import shutil
import struct
import subprocess
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cmmdl import Fuser
from cmmdl.metrics.table import METRICS
from cmmdl.scenes import synthetic_pair
from conftest import ROOT

WEB = ROOT / "web"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("node") or not shutil.which("npm"), reason="needs Node and npm"),
]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, built anew."""
    if not (WEB / "node_modules").is_dir():
        call = ["npm", "ci", "--no-audit", "--no-fund"]
        if subprocess.run(call, cwd=WEB, capture_output=True).returncode:
            pytest.skip("npm ci failed, which needs a network")
    out = tmp_path_factory.mktemp("web") / "dist"
    subprocess.run(["node", "build.mjs", str(out)], cwd=WEB, check=True, capture_output=True)
    return out


class Host:
    """A static host that can be turned off; without the headers that threads need."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[str] = []
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *arguments: Any) -> None:
                outer.requests.append(self.path)

        handler = functools.partial(Handler, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def host(dist: Path) -> Iterator[Host]:
    started = Host(dist)
    yield started
    started.stop()


@pytest.fixture
def page(browser: Any, host: Host) -> Iterator[Any]:
    context = browser.new_context(accept_downloads=True)
    opened = context.new_page()
    opened.set_default_timeout(120_000)
    opened.goto(host.address)
    yield opened
    context.close()


def choose(page: Any, ir: list[Path] | Path, vis: list[Path] | Path) -> None:
    for side, paths in (("ir", ir), ("vis", vis)):
        page.set_input_files(f"#{side}", paths)


def status(page: Any) -> str:
    page.click("#go")
    page.wait_for_selector("#go:not([disabled])")
    return str(page.inner_text("#status"))


def downloaded(page: Any, button: str = "#download") -> bytes:
    with page.expect_download() as waiting:
        page.click(button)
    return Path(waiting.value.path()).read_bytes()


def picture(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def saved(path: Path, array: np.ndarray[Any, Any], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def agrees(data: bytes, ir: Path, vis: Path, model: str = "cmmdl-rt") -> None:
    expected = np.asarray(Image.fromarray(Fuser(model, note=lambda *_: None)(ir, vis)).convert("RGB"))
    difference = np.abs(picture(data).astype(int) - expected)
    assert difference.max() <= 1
    assert expected.std() > 5, "there is something to see"


@pytest.mark.parametrize("model", ["cmmdl-rt", "cmmdl-mif-rt"])
@pytest.mark.parametrize("colour", ["vis", "ir", "none"])
def test_the_result_is_that_of_python(page: Any, tmp_path: Path, model: str, colour: str) -> None:
    grey, vis = synthetic_pair(117, 163, seed=5)
    tinted = np.stack([grey, grey // 2 + 30, 255 - grey], axis=-1)
    ir = saved(tmp_path / "ir.png", tinted if colour == "ir" else grey)
    seen = saved(tmp_path / "vis.png", vis if colour == "vis" else np.asarray(Image.fromarray(vis).convert("L")))
    page.select_option("#model", model)
    choose(page, ir, seen)
    assert status(page) == "Done"
    agrees(downloaded(page), ir, seen, model)


def test_scores_are_those_of_python(page: Any, tmp_path: Path) -> None:
    import torch

    ir, vis = (saved(tmp_path / f"{n}.png", array) for n, array in enumerate(synthetic_pair(90, 121, seed=7)))
    choose(page, ir, vis)
    assert status(page) == "Done"
    facts = page.inner_text("#facts")
    rgb = picture(downloaded(page)).astype(np.float64)
    grey = torch.from_numpy(np.rint(rgb @ [0.299, 0.587, 0.114]).astype(np.uint8))[None, None]
    for name in ("EN", "SD", "SF"):
        told = float(facts.split(f"{name} ")[1].split(",")[0].split(";")[0])
        assert told == pytest.approx(float(METRICS[name](grey, grey, grey)), abs=6e-3)


def test_a_picture_of_several_tiles(page: Any, tmp_path: Path) -> None:
    ir, vis = (saved(tmp_path / f"{n}.png", array) for n, array in enumerate(synthetic_pair(90, 1013, seed=11)))
    choose(page, ir, vis)
    assert status(page) == "Done"
    agrees(downloaded(page), ir, vis)


def test_pngs_that_claim_a_gamma_are_read_as_they_are(page: Any, tmp_path: Path) -> None:
    ir, vis = (saved(tmp_path / f"{n}.png", array) for n, array in enumerate(synthetic_pair(64, 80, seed=3)))
    body = b"gAMA" + struct.pack(">I", 100_000)
    chunk = struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))
    data = vis.read_bytes()
    vis.write_bytes(data[:33] + chunk + data[33:])
    choose(page, ir, vis)
    assert status(page) == "Done"
    agrees(downloaded(page), ir, vis)


@pytest.mark.parametrize(("suffix", "options"), [(".jpg", {"quality": 90}), (".webp", {"lossless": True})])
def test_jpeg_and_webp(page: Any, tmp_path: Path, suffix: str, options: dict[str, Any]) -> None:
    arrays = synthetic_pair(96, 128, seed=9)
    ir, vis = (saved(tmp_path / f"{n}{suffix}", array, **options) for n, array in enumerate(arrays))
    choose(page, ir, vis)
    assert status(page) == "Done"
    expected = Fuser("cmmdl-rt")(ir, vis).astype(int)
    assert np.abs(picture(downloaded(page)).astype(int) - expected).mean() < 1, "decoders differ in the last digit"


def test_without_a_network(page: Any, host: Host, tmp_path: Path) -> None:
    ir, vis = (saved(tmp_path / f"{n}.png", array) for n, array in enumerate(synthetic_pair(64, 80, seed=4)))
    page.wait_for_selector("#offline:has-text('without a network')")
    host.stop()
    page.reload()
    for model in ("cmmdl-rt", "cmmdl-mif-rt"):
        page.select_option("#model", model)
        choose(page, ir, vis)
        assert status(page) == "Done"
        agrees(downloaded(page), ir, vis, model)
    page.goto(host.address + "licences.txt")
    assert "onnxruntime-web" in page.content()


def test_nothing_leaves_the_computer(page: Any, host: Host, tmp_path: Path) -> None:
    page.wait_for_selector("#offline:has-text('without a network')")
    ir, vis = (saved(tmp_path / f"{n}.png", array) for n, array in enumerate(synthetic_pair(64, 80, seed=4)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    before = len(host.requests)
    choose(page, ir, vis)
    assert status(page) == "Done"
    assert "Nothing leaves this computer" in page.inner_text("header")
    assert all(one.startswith((f"GET {host.address}", "GET blob:")) for one in asked), asked
    assert len(host.requests) == before, "all of it was kept already"


def transparent(folder: Path) -> Path:
    return saved(folder / "odd.png", np.full((20, 20, 4), 128, np.uint8))


def deep(folder: Path) -> Path:
    return saved(folder / "odd.png", np.full((20, 20), 40000, np.uint16))


def tiff(folder: Path) -> Path:
    return saved(folder / "odd.tif", np.full((20, 20), 40, np.uint8))


def cmyk(folder: Path) -> Path:
    Image.new("CMYK", (20, 20)).save(folder / "odd.jpg")
    return folder / "odd.jpg"


def animated(folder: Path) -> Path:
    frames = [Image.new("L", (20, 20), level) for level in (10, 200)]
    frames[0].save(folder / "odd.png", save_all=True, append_images=frames[1:])
    return folder / "odd.png"


def damaged(folder: Path) -> Path:
    path = saved(folder / "odd.png", np.full((20, 20), 40, np.uint8))
    path.write_bytes(path.read_bytes()[:50])
    return path


def no_picture(folder: Path) -> Path:
    (folder / "odd.png").write_text("none")
    return folder / "odd.png"


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (transparent, "transparent"), (deep, "16 bits"), (tiff, "TIFF"), (cmyk, "CMYK"), (animated, "animation"),
        (damaged, "damaged"), (no_picture, "no PNG"),
    ],
)  # fmt: skip
def test_what_a_browser_cannot(page: Any, tmp_path: Path, odd: Any, words: str) -> None:
    choose(page, odd(tmp_path), saved(tmp_path / "vis.png", np.full((20, 20), 90, np.uint8)))
    told = status(page)
    assert words in told
    assert "odd." in told
    assert "cmmdl fuse" in told
    assert not page.is_visible("#result")


def test_two_sizes(page: Any, tmp_path: Path) -> None:
    sizes = {"ir": (20, 30), "vis": (20, 31)}
    choose(page, *(saved(tmp_path / f"{side}.png", np.full(size, 90, np.uint8)) for side, size in sizes.items()))
    assert "ir.png is 30x20, vis.png 31x20" in status(page)


def test_a_folder(page: Any, tmp_path: Path) -> None:
    import zipfile

    for seed, stem in enumerate("abc"):
        for side, array in zip(("ir", "vis"), synthetic_pair(40, 56, seed=seed), strict=True):
            saved(tmp_path / side / f"{stem}.png", array)
    (tmp_path / "vis/b.png").write_text("no picture")
    saved(tmp_path / "ir/alone.png", np.zeros((9, 9), np.uint8))
    for side in ("ir", "vis"):
        page.set_input_files(f"#{side}-folder", tmp_path / side)
    assert status(page) == "2 of 3 fused, 1 failed, 1 left out"
    assert "b.png is no PNG" in page.inner_text("#rows")
    assert "alone.png: no visible picture alone" in page.inner_text("#left")
    with zipfile.ZipFile(io.BytesIO(downloaded(page, "#archive"))) as archive:
        assert sorted(archive.namelist()) == ["a.png", "c.png"]
        for name in archive.namelist():
            agrees(archive.read(name), tmp_path / "ir" / name, tmp_path / "vis" / name)
    page.click("#rows tr:nth-child(3) button")
    assert page.get_attribute("#download", "download") == "c.png"


def test_the_slider(page: Any, tmp_path: Path) -> None:
    ir, vis = (saved(tmp_path / f"{n}.png", array) for n, array in enumerate(synthetic_pair(64, 80, seed=4)))
    choose(page, ir, vis)
    assert status(page) == "Done"
    page.fill("#slider", "25")
    assert page.evaluate("document.getElementById('compare').style.getPropertyValue('--cut')") == "25%"
    page.check("input[name=view][value=none]")
    assert not page.is_visible("#source-img")


def test_threads_where_the_server_sends_the_headers(browser: Any, dist: Path, tmp_path: Path) -> None:
    uvicorn = pytest.importorskip("uvicorn", reason='needs pip install "cmmdl[serve]"')
    from cmmdl.serve.app import create_app
    from cmmdl.serve.settings import Settings

    config = uvicorn.Config(create_app(Settings(models=("mean",), local=dist)), port=0, log_level="warning")
    server, socket = uvicorn.Server(config), config.bind_socket()
    thread = threading.Thread(target=server.run, args=([socket],), daemon=True)
    thread.start()
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(f"http://127.0.0.1:{socket.getsockname()[1]}/local/")
    ir, vis = (saved(tmp_path / f"{n}.png", array) for n, array in enumerate(synthetic_pair(64, 80, seed=4)))
    choose(page, ir, vis)
    assert status(page) == "Done"
    assert page.evaluate("crossOriginIsolated")
    cores = page.evaluate("navigator.hardwareConcurrency")
    assert f"{min(4, cores)} thread" in page.inner_text("#facts")
    agrees(downloaded(page), ir, vis)
    context.close()
    server.should_exit = True
    thread.join(20)
