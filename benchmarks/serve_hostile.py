"""Uploads that mean no good, and the status that each must get; `serve_load.py` mixes them into its requests."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from collections.abc import Awaitable, Callable
from functools import cache

from PIL import Image

BOUNDARY = "cmmdl"
KIND = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"

Attack = Callable[[str, int], Awaitable[int]]
"""Called with host and port; gives the status that came back, 0 where the connection was closed without one."""


def png(width: int, height: int) -> bytes:
    """A grey PNG whose header says so much, with hardly any pixels behind it."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(99)))]
    chunks = [struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
              for kind, body in [*parts, (b"IEND", b"")]]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def picture(width: int, height: int, kind: str = "PNG") -> bytes:
    """A black picture that is sound."""
    data = io.BytesIO()
    Image.new("L", (width, height)).save(data, kind)
    return data.getvalue()


def form(ir: bytes, vis: bytes, end: bool = True) -> bytes:
    """A body with two files."""
    body = b""
    for name, data in (("ir", ir), ("vis", vis)):
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}.png"\r\n\r\n'
        body += head.encode() + data + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode() if end else body[: len(body) * 2 // 3]


def head(*lines: str, host: str = "127.0.0.1", path: str = "/fuse") -> bytes:
    """The head of a request."""
    return "\r\n".join([f"POST {path} HTTP/1.1", f"Host: {host}", "Connection: close", *lines, "", ""]).encode()


def sent(data: bytes, *, hang_up: bool = False) -> Attack:
    """An attack that sends bytes, and then waits for the answer or leaves."""

    async def attack(host: str, port: int) -> int:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(data)
            if hang_up:
                await writer.drain()
                return 0
            return await status(reader)
        except ConnectionError:
            return 0
        finally:
            writer.close()

    return attack


def trickle(data: bytes, pause: float) -> Attack:
    """An attack that sends a byte now and then until it is cut off."""

    async def attack(host: str, port: int) -> int:
        reader, writer = await asyncio.open_connection(host, port)
        answer = asyncio.create_task(status(reader))
        try:
            for byte in data:
                writer.write(bytes([byte]))
                await writer.drain()
                if (await asyncio.wait([answer], timeout=pause))[0]:
                    break
        except ConnectionError:
            pass
        finally:
            writer.close()
        return await answer

    return attack


async def status(reader: asyncio.StreamReader) -> int:
    """The status of an answer, which must come within two minutes."""
    try:
        line = await asyncio.wait_for(reader.readline(), 120)
    except ConnectionError:
        return 0
    return int(line.split()[1]) if line else 0


def whole(body: bytes, *lines: str, host: str = "127.0.0.1", kind: str = KIND) -> bytes:
    """A request with its length."""
    return head(kind, f"Content-Length: {len(body)}", *lines, host=host) + body


@cache
def attacks() -> dict[str, tuple[Attack, set[int]]]:
    """Every attack with the statuses that it must get, 0 where the other side hangs up; 503 besides, under load."""
    good = picture(160, 120)
    fine = form(good, good)
    parts = [form(bytes(999), good)[:500], *[bytes(2**20)] * 80]
    chunked = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts)
    return {
        "more megapixels than allowed": (sent(whole(form(picture(8000, 6000), good))), {413}),
        "a header of 900 megapixels": (sent(whole(form(png(30_000, 30_000), good))), {413}),
        "a header of 4 petapixels": (sent(whole(form(png(2**31 - 1, 2**31 - 1), good))), {413, 415}),
        "a PNG without its pixels": (sent(whole(form(png(160, 120), good))), {415}),
        "text": (sent(whole(form(b"no picture", good))), {415}),
        "a ZIP file": (sent(whole(form(b"PK\x03\x04" + bytes(99), good))), {415}),
        "an SVG with an entity": (sent(whole(form(b'<!DOCTYPE a [<!ENTITY b "c">]><svg/>', good))), {415}),
        "an empty file": (sent(whole(form(b"", good))), {422}),
        "an empty body": (sent(whole(b"")), {422}),
        "JSON": (sent(whole(b"{}", kind="Content-Type: application/json")), {415}),
        "a form that ends in the middle": (sent(whole(form(good, good, end=False))), {422}),
        "a length above the limit": (sent(head(KIND, f"Content-Length: {10**12}") + fine), {413}),
        "a length that is no number": (sent(head(KIND, "Content-Length: many") + fine), {400}),
        "a length that is too short": (sent(head(KIND, "Content-Length: 300") + fine), {422}),
        "a length that is too long, then gone": (sent(head(KIND, "Content-Length: 99999") + fine, hang_up=True), {0}),
        "80 MiB in chunks": (sent(head(KIND, "Transfer-Encoding: chunked") + chunked), {413, 0}),
        "two lengths": (sent(head(KIND, "Content-Length: 5", "Content-Length: 50") + fine), {400}),
        "another host": (sent(whole(fine, host="evil.example")), {403}),
        "another site's page": (sent(whole(fine, "Origin: http://evil.example")), {403}),
        "a head that never ends": (sent(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000), {400}),
        "no HTTP": (sent(bytes(range(256)) * 8), {400}),
        "a head byte by byte": (trickle(head(KIND, "X: " + "y" * 200), pause=0.5), {0}),
    }
