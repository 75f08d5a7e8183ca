"""Radiometric JPEGs as FLIR cameras write them, made for tests: a drawn scene in their container."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PARAMETERS: dict[str, float] = {
    "emissivity": 0.95,
    "distance": 1.0,
    "reflected": 293.15,
    "atmosphere": 293.15,
    "window": 293.15,
    "transmission": 1.0,
    "humidity": 0.5,
    "r1": 17837.5,
    "b": 1450.4,
    "f": 1.0,
    "o": -1143,
    "r2": 0.0123328,
}
"""Those of a real camera of 2017."""

_AT = {"emissivity": 32, "distance": 36, "reflected": 40, "atmosphere": 44, "window": 48, "transmission": 52,
       "humidity": 60, "r1": 88, "b": 92, "f": 96, "r2": 780}  # fmt: skip
_AIR = (0.006569, 0.01262, -0.002276, -0.00667, 1.9)


def camera_record(changes: Mapping[str, float], order: str) -> bytes:
    """The record of the camera's parameters."""
    values, record = {**PARAMETERS, **changes}, bytearray(900)
    struct.pack_into(f"{order}H", record, 0, 2)
    for name, place in _AT.items():
        struct.pack_into(f"{order}f", record, place, values[name])
    struct.pack_into(f"{order}5f", record, 112, *_AIR)
    struct.pack_into(f"{order}i", record, 776, int(values["o"]))
    struct.pack_into(f"{order}2i", record, 824, 16000, 2000)
    return bytes(record)


def picture_record(content: bytes, width: int, height: int, order: str = "<") -> bytes:
    """The record of a picture: a header of 32 bytes, then its bytes."""
    return struct.pack(f"{order}3H", 2, width, height).ljust(32, b"\0") + content


def png(pixels: NDArray[Any], mode: str | None = None) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def jpeg(pixels: NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def palette_record(colours: int = 224) -> bytes:
    """A palette from dark blue to light orange, as luma and chroma."""
    ramp = np.linspace(0, 1, colours)
    ycc = np.stack([30 + 200 * ramp, 90 + 90 * ramp, 190 - 120 * ramp], 1).astype(np.uint8)
    return colours.to_bytes(6, "little").ljust(112, b"\0") + ycc.tobytes()


def fff(records: list[tuple[int, bytes]], order: str = ">") -> bytes:
    """The thermal file within: a header, a directory, the records."""
    directory, body, place = b"", b"", 64 + 32 * (len(records) + 2)
    for kind, record in [*records, (0, b""), (0, b"")]:  # readers that miscount miss two
        entry = struct.pack(f"{order}HHIIII", kind, 1, 100, 1, place + len(body), len(record))
        directory, body = directory + entry.ljust(32, b"\0"), body + record
    head = b"FFF\0".ljust(20, b"\0") + struct.pack(f"{order}3I", 100, 64, len(records) + 2)
    return head.ljust(64, b"\0") + directory + body


def app1(data: bytes, size: int = 4000) -> bytes:
    """The thermal file as segments of a JPEG."""
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(
        b"\xff\xe1" + struct.pack(">H", len(part) + 10) + b"FLIR\0\1" + bytes([number, len(parts) - 1]) + part
        for number, part in enumerate(parts)
    )


def flir_jpeg(
    counts: NDArray[np.uint16],
    photo: NDArray[np.uint8] | None = None,
    *,
    swapped: bool = True,
    order: str = "<",
    raw: bytes | None = None,
    stated: tuple[int, int] | None = None,
    exif: bytes = b"",
    **changes: float,
) -> bytes:
    """A radiometric JPEG.

    Args:
        counts: ``(H, W)``, what the sensor counted.
        photo: ``(h, w, 3)`` or none.
        swapped: Whether the bytes of the raw PNG are swapped, as most cameras have it.
        order: Of the records' numbers.
        raw: Bytes in place of the raw PNG.
        stated: Width and height that the header states.
        exif: EXIF data of the JPEG.
        changes: Parameters other than :data:`PARAMETERS`.
    """
    height, width = counts.shape
    content = png(counts.byteswap() if swapped else counts) if raw is None else raw
    records = [
        (1, picture_record(content, *(stated or (width, height)), order)),
        (32, camera_record(changes, order)),
        (34, palette_record()),
    ]
    if photo is not None:
        records.append((14, picture_record(jpeg(photo), photo.shape[1], photo.shape[0])))
    painted = jpeg(np.repeat(((counts >> 4) & 255).astype(np.uint8)[..., None], 3, 2), exif=exif)
    return painted[:2] + app1(fff(records)) + painted[2:]


def write_flir(path: Path, *arguments: Any, **options: Any) -> Path:
    path.write_bytes(flir_jpeg(*arguments, **options))
    return path
