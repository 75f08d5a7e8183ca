"""Seconds that the page without a server takes for a pair in headless Chromium, from the button to the picture.

    make web
    python benchmarks/browser.py                       # 640x480, cmmdl-rt, one thread
    python benchmarks/browser.py --size 1280x1024 --calls 5

Needs Chromium and Playwright (`pip install playwright`). The pair is drawn. The first call, which loads the network, is
a column of its own; the other is the median of the calls after it. A plain static server sends no headers for threads,
so one thread computes.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from cmmdl.files.images import write_image
from cmmdl.scenes import synthetic_pair

DIST = Path(__file__).resolve().parents[1] / "web" / "dist"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files without a line of log each."""

    def log_message(self, *_: object) -> None: ...


def fused(page: Any) -> float:
    """Seconds from the button until the page is ready for the next pair."""
    start = time.perf_counter()
    page.click("#go")
    page.wait_for_selector("#go:not([disabled])")
    seconds = time.perf_counter() - start
    assert page.is_enabled("#download"), page.inner_text("#status")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="640x480", help="width and height  [default: %(default)s]")
    parser.add_argument("--calls", type=int, default=7)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    asked = parser.parse_args()
    width, height = map(int, asked.size.split("x"))
    handler = functools.partial(Quiet, directory=str(DIST))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        for side, pixels in zip(("ir", "vis"), synthetic_pair(height, width, seed=1), strict=True):
            write_image(Path(folder) / f"{side}.png", pixels)
        page = playwright.chromium.launch(executable_path=asked.chromium).new_page()
        page.set_default_timeout(120_000)
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        for side in ("ir", "vis"):
            page.set_input_files(f"#{side}", Path(folder) / f"{side}.png")
        first, *later = (fused(page) for _ in range(asked.calls))
    server.shutdown()
    print("| pair | first, network included, s | later, s |\n|---|---|---|")
    print(f"| {asked.size} | {first:.2f} | {statistics.median(later):.2f} |")


if __name__ == "__main__":
    main()
