"""The server under load: many clients, hostile uploads among them; answers, waiting time and memory.

python benchmarks/serve_load.py                                # prints the figures
python benchmarks/serve_load.py --write                        # writes them into docs/serve.md
python benchmarks/serve_load.py --clients 10 --requests 200    # a smaller load
"""

from __future__ import annotations

import argparse
import asyncio
import io
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil
from PIL import Image

from cmmdl.runtimes.device import cpu_name
from cmmdl.scenes import synthetic_pair
from serve_hostile import attacks, form, whole

PAGE = Path(__file__).resolve().parents[1] / "docs/serve.md"
QUEUE = 8


@dataclass
class Load:
    """What came of a load.

    Attributes:
        size: Of the pictures.
        one: Seconds of a request that has the server for itself, the median of 20.
        waits: Seconds of each request that was fused.
        answers: How often each status came.
        memory: MiB of the server after the warm-up and at the end.
        wrong: Hostile uploads that got another answer than they must, and pictures that differ.
    """

    size: str
    one: float = 0.0
    waits: list[float] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    memory: tuple[float, float] = (0.0, 0.0)
    wrong: list[str] = field(default_factory=list)

    @property
    def p99(self) -> float:
        """Seconds within which 99 of 100 fused requests were answered."""
        return statistics.quantiles(self.waits, n=100)[98]

    @property
    def growth(self) -> float:
        """Growth of the server's memory after the warm-up, 0.05 is 5 %."""
        return self.memory[1] / self.memory[0] - 1


class Server(NamedTuple):
    """Where a server is, and what runs it."""

    host: str
    port: int
    process: psutil.Process


@contextmanager
def server(model: str = "cmmdl-rt") -> Iterator[Server]:
    """A server in a process of its own."""
    command = [sys.executable, "-m", "cmmdl", "serve", "--model", model, "--port", "0", "--queue", str(QUEUE)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        found = re.search(r"http://([^:]+):(\d+)", process.stderr.readline())
        assert found, "the server did not start"
        yield Server(found[1], int(found[2]), psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(30)


def pair(width: int, height: int) -> tuple[bytes, bytes]:
    """A drawn pair, encoded."""
    encoded = []
    for array in synthetic_pair(height, width):
        data = io.BytesIO()
        Image.fromarray(array).save(data, "PNG")
        encoded.append(data.getvalue())
    return encoded[0], encoded[1]


async def ask(at: Server, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer; bare streams, since a client that computes would slow the server down."""
    reader, writer = await asyncio.open_connection(at.host, at.port)
    writer.write(request)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, body


async def measure(at: Server, size: tuple[int, int], load: Load, limits: argparse.Namespace) -> None:
    """One client first, then all of them with hostile uploads in between."""
    await hostile(at, load, set())
    request = whole(form(*pair(*size)))
    alone = []
    for _ in range(23):
        start = time.perf_counter()
        _, _, expected = await ask(at, request)
        alone.append(time.perf_counter() - start)
    load.one = statistics.median(alone[3:])

    async def until_fused() -> None:
        while True:
            start = time.perf_counter()
            code, headers, body = await ask(at, request)
            load.answers[code] += 1
            if code == 200:
                load.waits.append(time.perf_counter() - start)
                if body != expected:
                    load.wrong.append("a picture differs")
            if code != 503:
                return
            await asyncio.sleep(int(headers["retry-after"]))

    async def some(tickets: Iterator[int]) -> None:
        for _ in tickets:
            await until_fused()

    async def crowd(requests: int) -> None:
        tickets = iter(range(requests))
        await asyncio.gather(*(some(tickets) for _ in range(limits.clients)), hostile(at, load, {503}))

    await crowd(max(limits.clients, requests_of(size, limits) // 10))
    before = at.process.memory_info().rss / 2**20
    load.waits.clear()
    load.answers.clear()
    await crowd(requests_of(size, limits))
    load.memory = before, at.process.memory_info().rss / 2**20


def requests_of(size: tuple[int, int], limits: argparse.Namespace) -> int:
    """So many of small pictures, a tenth of the large ones."""
    return limits.requests if size[0] < 640 else limits.requests // 10


async def hostile(at: Server, load: Load, also: set[int]) -> None:
    """Every attack once, one after the other."""
    for name, (attack, allowed) in attacks().items():
        got = await attack(at.host, at.port)
        load.answers[got] += 1
        if got not in allowed | also:
            load.wrong.append(f"{name}: {got} instead of {sorted(allowed | also)}")


def run(limits: argparse.Namespace, sizes: list[tuple[int, int]]) -> list[Load]:
    """All sizes, each with a server of its own."""
    loads = []
    for size in sizes:
        load = Load(f"{size[0]}x{size[1]}")
        with server() as at:
            asyncio.run(measure(at, size, load, limits))
        loads.append(load)
    return loads


def table(loads: list[Load], clients: int) -> str:
    """For the page."""
    lines = ["| pictures | fused | refused with 503 | other 5xx | one alone | p50 | p99 | p99 / one alone | memory |"]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for load in loads:
        other = sum(count for code, count in load.answers.items() if code >= 500 and code != 503)
        cells = [load.size, len(load.waits), load.answers[503], other, f"{load.one * 1e3:.0f} ms"]
        cells += [f"{statistics.median(load.waits) * 1e3:.0f} ms", f"{load.p99 * 1e3:.0f} ms"]
        cells += [f"{load.p99 / load.one:.1f}", f"{load.memory[1]:.0f} MiB, {load.growth:+.1%}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    words = f"{clients} clients, `cmmdl-rt`, {cpu_name()}, {psutil.cpu_count()} cores shared by server and clients"
    return "\n".join([*lines, "", f"{words}: `python benchmarks/serve_load.py --write`."])


def main() -> None:
    """Prints or writes the table, and says what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--requests", type=int, default=2000, help="of 160x120; a tenth of 640x480")
    parser.add_argument("--write", action="store_true")
    limits = parser.parse_args()
    loads = run(limits, [(160, 120), (640, 480)])
    text = table(loads, limits.clients)
    if wrong := [line for load in loads for line in load.wrong]:
        sys.exit("\n".join([text, *wrong]))
    if limits.write:
        page = PAGE.read_text(encoding="utf-8")
        marked = r"(<!-- load:begin -->\n\n).*?(\n\n<!-- load:end -->)"
        PAGE.write_text(re.sub(marked, rf"\1{text}\2", page, flags=re.DOTALL), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
