"""The server's page in headless Chromium, at a desktop's and a phone's size, with every other host refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason='needs pip install "cmmdl[serve]"')

from cmmdl import Fuser
from cmmdl.files.images import write_image
from cmmdl.scenes import synthetic_pair
from cmmdl.serve.app import create_app
from cmmdl.serve.listening import listen
from cmmdl.serve.settings import Settings

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
IR, VIS = synthetic_pair(120, 160, seed=5)

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server in a thread."""
    settings = Settings(models=("cmmdl-rt", "max"), port=0, max_pixels=100_000)
    server, socket = listen(create_app(settings), settings)
    thread = threading.Thread(target=server.run, args=([socket],), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{socket.getsockname()[1]}/"
    server.should_exit = True
    thread.join(20)


@pytest.fixture
def refused() -> list[str]:
    """Addresses of other hosts that the page asked for."""
    return []


@pytest.fixture
def open_page(browser: Any, address: str, refused: list[str]) -> Iterator[Open]:
    contexts = []

    def opened(**options: Any) -> Any:
        context = browser.new_context(**{"viewport": DESKTOP, **options})
        contexts.append(context)

        def guard(route: Any) -> None:
            if route.request.url.startswith((address, "blob:", "data:")):
                route.continue_()
            else:
                refused.append(route.request.url)
                route.abort()

        context.route("**/*", guard)
        page = context.new_page()
        page.on("pageerror", lambda error: refused.append(f"an error: {error}"))
        page.on("filechooser", lambda _: None)  # on from the start: switched on by a wait it may come after the key
        page.set_default_timeout(60_000)
        page.goto(address)
        page.wait_for_selector("#version:not(:empty)")
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, Path]:
    paths = {"ir": tmp_path / "warm.png", "vis": tmp_path / "seen.png"}
    write_image(paths["ir"], IR)
    write_image(paths["vis"], VIS)
    return paths


def choose(page: Any, **paths: Path) -> None:
    for side, path in paths.items():
        page.set_input_files(f"#{side}", path)


def status(page: Any) -> str:
    page.click("#go")
    page.wait_for_selector("#progress", state="hidden")
    return str(page.inner_text("#status"))


def shown(page: Any, element: str) -> np.ndarray[Any, Any]:
    """``(H, W, 3)`` pixels of a picture as the browser shows it."""
    script = """async (id) => {
        const picture = document.getElementById(id);
        await picture.decode();
        const [width, height] = [picture.naturalWidth, picture.naturalHeight];
        const context = new OffscreenCanvas(width, height).getContext("2d");
        context.drawImage(picture, 0, 0);
        return { width, height, data: [...context.getImageData(0, 0, width, height).data] };
    }"""
    got = page.evaluate(script, element)
    return np.array(got["data"], np.uint8).reshape(got["height"], got["width"], 4)[..., :3]


def cut(page: Any) -> str:
    return str(page.evaluate("getComputedStyle(document.getElementById('compare')).getPropertyValue('--cut')"))


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_two_files_in_the_fused_one_out(
    open_page: Open, pair: dict[str, Path], refused: list[str], tmp_path: Path, size: Any, colours: str
) -> None:
    page = open_page(viewport=size, color_scheme=colours, has_touch=size == PHONE)
    choose(page, **pair)
    assert "warm.png" in page.inner_text("#drop-ir")
    assert status(page) == "Done"
    assert "cmmdl-rt" in page.inner_text("#facts")
    with page.expect_download() as waiting:
        page.click("#download")
    assert waiting.value.suggested_filename == "fused.png"
    expected = Fuser("cmmdl-rt")(pair["ir"], pair["vis"])
    np.testing.assert_array_equal(np.asarray(Image.open(waiting.value.path())), expected)
    np.testing.assert_array_equal(shown(page, "fused-img"), expected)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
    lightness = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(lightness) < 60) == (colours == "dark")
    page.screenshot(path=tmp_path / f"{size['width']}-{colours}.png", full_page=True)
    assert refused == []


def test_by_keyboard_alone(open_page: Open, pair: dict[str, Path]) -> None:
    page = open_page()
    for side, path in pair.items():
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == side
        with page.expect_file_chooser() as waiting:
            page.keyboard.press("Space")
        waiting.value.set_files(path)
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "go":
            break
    page.keyboard.press("Enter")
    page.wait_for_selector("#result")
    page.focus("#slider")
    for key, place in (("Home", "0%"), ("End", "100%"), ("ArrowLeft", "99%"), ("PageDown", "89%")):
        page.keyboard.press(key)
        assert cut(page) == place
    page.focus("input[name=view][value=vis]")
    page.keyboard.press("ArrowLeft")
    assert page.is_checked("input[name=view][value=ir]")
    np.testing.assert_array_equal(shown(page, "source-img")[..., 0], IR)


def test_by_finger_or_mouse(open_page: Open, pair: dict[str, Path]) -> None:
    page = open_page(viewport=PHONE)
    choose(page, **pair)
    assert status(page) == "Done"
    page.locator("#compare").scroll_into_view_if_needed()
    box = page.locator("#compare").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 20)
    page.mouse.up()
    assert float(cut(page).rstrip("%")) == pytest.approx(25, abs=1)
    page.check("input[name=view][value=none]")
    assert not page.is_visible("#source-img")


def test_the_slider_compares_what_was_fused(open_page: Open, pair: dict[str, Path], tmp_path: Path) -> None:
    """Counts of 16 bits in a TIFF, moved by hand: nothing that a browser could show by itself."""
    page = open_page()
    write_image(tmp_path / "counts.tif", (7000 + 5 * IR.astype(np.uint16)).astype(np.uint16))
    choose(page, ir=tmp_path / "counts.tif", vis=pair["vis"])
    page.fill("input[name=ir_range]", "7000:8275")
    page.fill("input[name=shift]", "4,-2")
    assert status(page) == "Done"
    page.check("input[name=view][value=ir]")
    np.testing.assert_array_equal(shown(page, "source-img")[:-2, 4:, 0], IR[2:, :-4])


def test_two_files_dropped_at_once(open_page: Open, pair: dict[str, Path]) -> None:
    page = open_page()
    script = """async (files) => {
        const transfer = new DataTransfer();
        for (const [name, bytes] of files) transfer.items.add(new File([new Uint8Array(bytes)], name));
        const event = new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
        document.getElementById("drop-ir").dispatchEvent(event);
    }"""
    page.evaluate(script, [[path.name, list(path.read_bytes())] for path in pair.values()])
    assert "seen.png" in page.inner_text("#drop-vis")
    page.click("#swap")
    assert "seen.png" in page.inner_text("#drop-ir")
    page.click("#swap")
    page.select_option("#model", "max")
    assert status(page) == "Done"
    np.testing.assert_array_equal(shown(page, "fused-img"), Fuser("max")(IR, VIS))


@pytest.mark.parametrize(
    ("content", "fields", "words"),
    [
        (b"no picture", {}, "wrong.png"),
        (b"", {}, "wrong.png is empty"),
        (bytes(40 * 2**20), {}, "40.0 MiB, above 32 MiB"),
        (None, {"ir_range": "9:1"}, "range 9 to 1 is empty"),
        (None, {"shift": "left"}, "shift 'left' is not two numbers"),
    ],
)
def test_what_is_wrong_is_said_in_words(
    open_page: Open, pair: dict[str, Path], tmp_path: Path, content: bytes | None, fields: dict[str, str], words: str
) -> None:
    page = open_page()
    if content is not None:
        (tmp_path / "wrong.png").write_bytes(content)
        pair["ir"] = tmp_path / "wrong.png"
    choose(page, **pair)
    for name, value in fields.items():
        page.fill(f"input[name={name}]", value)
    assert words in status(page)
    assert page.evaluate("document.getElementById('status').classList.contains('bad')")
    assert not page.is_visible("#result")


def test_nothing_chosen_and_nobody_there(open_page: Open, pair: dict[str, Path], address: str) -> None:
    page = open_page()
    assert "Choose an infrared picture" in status(page)
    choose(page, **pair)
    page.route(f"{address}fuse", lambda route: route.abort())
    assert "cannot be reached" in status(page)


def test_a_result_that_no_browser_shows(open_page: Open, pair: dict[str, Path]) -> None:
    page = open_page()
    choose(page, **pair)
    page.select_option("select[name=format]", "tiff")
    assert status(page) == "Done"
    page.wait_for_selector("#notes li:has-text('cannot show the result')")
    assert page.get_attribute("#download", "download") == "fused.tif"
