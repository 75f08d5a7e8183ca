"""Reading FLIR radiometric JPEGs: the container checked here, the camera's formula by the library ``flyr``.

The thermal data lie in APP1 segments of at most 64 KiB that together are one FFF file: a directory of records, of which
one holds the raw picture, one the camera's parameters, and others a photo and a palette. The layout is as ExifTool's
documentation (FLIR tags) has it. ``flyr`` trusts every length and value it reads, so all of them are checked before.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmmdl.errors import UnreadableError, UserError
from cmmdl.files.jpeg import APP1, FLIR, segments
from cmmdl.files.swapped import roughness

RAW, PHOTO, CAMERA, PALETTE, PICTURE_IN_PICTURE = 1, 14, 32, 34, 42
"""Types of records."""

NAMES = {RAW: "thermal picture", PHOTO: "photo", CAMERA: "camera parameters", PALETTE: "palette"}
_ENTRY, _HEADER = 32, 32
AGAIN = "copy it again from the camera"


@dataclass(frozen=True)
class Records:
    """The FFF file within a radiometric JPEG.

    Attributes:
        path: The JPEG, for messages.
        data: The bytes, as far as they are there.
        places: Record type → where it begins and how long it is.
        cut: Whether the JPEG ends before its thermal segments do.
    """

    path: Path
    data: bytes
    places: dict[int, tuple[int, int]]
    cut: bool

    def get(self, kind: int) -> bytes | None:
        """The bytes of a record in little-endian order of its header, ``None`` if there is none.

        Raises:
            UnreadableError: If it ends beyond what is there.
        """
        if kind not in self.places:
            return None
        start, size = self.places[kind]
        record = self.data[start : start + size]
        if len(record) < size or size < _HEADER:
            word = "is cut off" if self.cut else "states a wrong length"
            raise UnreadableError(f"{self.path} {word}: its {NAMES[kind]} is incomplete; {AGAIN}")
        return record


def read_records(path: Path) -> Records:
    """Collects the thermal segments of a radiometric JPEG.

    Raises:
        UnreadableError: If a segment is missing or states a wrong length, or the directory of records is broken.
    """
    data, cut = _joined(path)
    if len(data) < 64 or data[:4] not in (b"FFF\0", b"AFF\0"):
        raise UnreadableError(f"{path} is cut off: its thermal data has no beginning; {AGAIN}")
    order = "big" if 100 <= int.from_bytes(data[20:24], "big") < 200 else "little"
    start, count = (int.from_bytes(data[at : at + 4], order) for at in (24, 28))  # type: ignore[arg-type]
    if count > 512 or start + _ENTRY * count > len(data):
        word = "is cut off" if cut else "states a wrong length"
        raise UnreadableError(f"{path} {word}: the directory of its thermal data is incomplete; {AGAIN}")
    places = {}
    for entry in range(start, start + _ENTRY * count, _ENTRY):
        kind = int.from_bytes(data[entry : entry + 2], order)  # type: ignore[arg-type]
        place, size = (int.from_bytes(data[entry + at : entry + at + 4], order) for at in (12, 16))  # type: ignore[arg-type]
        if kind and size:
            places[kind] = place, size
    return Records(path, data, places, cut)


def _joined(path: Path) -> tuple[bytes, bool]:
    """The content of all FLIR segments in their order, and whether the file ends before they do."""
    parts: dict[int, bytes] = {}
    last, cut = 0, False
    length = path.stat().st_size
    with path.open("rb") as file:
        for segment in segments(file):
            if segment.marker == APP1 and segment.head.startswith(FLIR):
                file.seek(segment.start + 8)
                parts[segment.head[6]] = file.read(segment.size - 8)
                last = segment.head[7]
                cut = segment.start + segment.size > length
            if not segment.chained:
                raise UnreadableError(f"{path}: the length field of a segment is wrong; {AGAIN}")
    whole = [parts[number] for number in range(last + 1) if number in parts]
    gap = any(number not in parts for number in range(max(parts, default=0)))
    if gap or (not cut and len(whole) <= last and not _ends_early(path)):
        raise UnreadableError(f"{path}: {len(whole)} of its {last + 1} thermal segments are there; {AGAIN}")
    return b"".join(whole), cut or len(whole) <= last


def _ends_early(path: Path) -> bool:
    """Whether a JPEG ends before its pixels begin."""
    with path.open("rb") as file:
        place = 0
        for segment in segments(file):
            place = segment.start + segment.size
        file.seek(place)
        return len(file.read(2)) < 2


def ends_before_its_pixels_do(path: Path) -> bool:
    """Whether the picture that the camera painted is cut off; thermal data comes before it."""
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError, ValueError):
        return True
    return False


def raw_counts(records: Records) -> NDArray[np.uint16]:
    """The raw picture ``(H, W)``, its bytes in the order in which it is a picture.

    Cameras write PNGs whose bytes are swapped, some models and FLIR's own programs do not, so the smoother one is it.

    Raises:
        UnreadableError: If there is none, or it is damaged or of another size than stated.
    """
    path, record = records.path, records.get(RAW)
    if record is None:
        raise UnreadableError(f"{path} contains no thermal picture; {AGAIN}, or export it as °C TIFF")
    width, height = _stated_size(record)
    content = record[_HEADER:]
    if content.startswith(b"\x89PNG"):
        counts = _decoded(path, content, "thermal picture")
        counts = counts.astype(np.uint16).byteswap()
    else:
        if len(content) < 2 * width * height:
            raise _wrong_size(path, "thermal picture", (width, height), f"{len(content)} bytes")
        counts = np.frombuffer(content, "<u2", width * height).reshape(height, width).astype(np.uint16)
    if counts.shape != (height, width):
        raise _wrong_size(path, "thermal picture", (width, height), f"{counts.shape[1]}x{counts.shape[0]}")
    swapped = counts.byteswap()
    return swapped if roughness(swapped) < roughness(counts) else counts


def photo(records: Records) -> NDArray[np.uint8] | None:
    """The photo within ``(h, w, 3)`` RGB, ``None`` if there is none.

    Raises:
        UnreadableError: If it is damaged or of another size than stated.
    """
    record = records.get(PHOTO)
    if record is None:
        return None
    content = record[_HEADER:]
    try:
        image: Image.Image = Image.open(io.BytesIO(content))
        if image.format == "PNG" and image.mode == "RGB":  # FLIR's PNGs hold luma and chroma
            image = Image.frombytes("YCbCr", image.size, image.tobytes())
        pixels = np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableError(f"{records.path} is cut off or damaged: its photo is incomplete; {AGAIN}") from error
    width, height = _stated_size(record)
    if pixels.shape[:2] != (height, width):
        raise _wrong_size(records.path, "photo", (width, height), f"{pixels.shape[1]}x{pixels.shape[0]}")
    return pixels


def palette(records: Records) -> NDArray[np.uint8] | None:
    """The palette in which the camera painted the picture, ``(N, 3)`` RGB, ``None`` if there is no usable one."""
    from flyr.palette_info import parse_palette_info  # type: ignore[import-untyped,unused-ignore]

    try:
        record = records.get(PALETTE)
        found = None if record is None else parse_palette_info(io.BytesIO(record), (0, PALETTE, 0, len(record)))
    except Exception:  # a palette is a help, not a need
        return None
    return (
        None if found is None or len(found.rgbs) < 2 else np.array(found.rgbs, np.float64).clip(0, 255).astype(np.uint8)
    )


def parameters(records: Records) -> dict[str, float]:
    """The camera's parameters by ``flyr``'s names: temperatures in kelvin, humidity from 0 to 1, distance in m.

    Raises:
        UnreadableError: If there are none.
    """
    from flyr.thermal import parse_camera_info  # type: ignore[import-untyped,unused-ignore]

    record = records.get(CAMERA)
    if record is None or len(record) < 832:
        raise UnreadableError(f"{records.path} contains no camera parameters; {AGAIN}, or export it as °C TIFF")
    if record[:2] == b"\0\2":  # FLIR's programs write it back with the other byte order
        record = np.frombuffer(record[: len(record) // 4 * 4], "<u4").byteswap().tobytes()
    return parse_camera_info(io.BytesIO(record), (0, CAMERA, 0, len(record)))


def stated_offset(records: Records) -> tuple[float, float, float] | None:
    """Size of the photo's field of view against the thermal one, and its offset in x and y, as the file states them."""
    from flyr.picture_in_picture import parse_pip_info  # type: ignore[import-untyped,unused-ignore]

    try:
        start, size = records.places[PICTURE_IN_PICTURE]
        found = parse_pip_info(io.BytesIO(records.data), (0, PICTURE_IN_PICTURE, start, size))
    except Exception:  # a hint
        return None
    sound = np.isfinite(found.real_to_ir) and 0.2 < found.real_to_ir < 10
    return (float(found.real_to_ir), float(found.offset_x), float(found.offset_y)) if sound else None


def celsius(counts: NDArray[np.uint16], values: dict[str, float]) -> NDArray[np.float32]:
    """Temperatures in °C by the camera's formula; NaN where it has no answer."""
    from flyr.thermogram import FlyrThermogram  # type: ignore[import-untyped,unused-ignore]

    try:
        with np.errstate(all="ignore"):
            return np.asarray(FlyrThermogram(counts, values).celsius, np.float32)
    except (ArithmeticError, ValueError):
        return np.full(counts.shape, np.nan, np.float32)


def require_flyr(path: Path) -> ModuleType:
    """The library, or an error that names the extra."""
    try:
        import flyr  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise UserError(f"{path} is a radiometric JPEG; to read it, run: pip install 'cmmdl[thermal]'") from error
    return flyr


def _stated_size(record: bytes) -> tuple[int, int]:
    """Width and height in the header of a picture's record, whose first number is 2 in its own byte order."""
    order = "big" if record[:2] == b"\0\2" else "little"
    return int.from_bytes(record[2:4], order), int.from_bytes(record[4:6], order)  # type: ignore[arg-type]


def _decoded(path: Path, content: bytes, what: str) -> NDArray[Any]:
    try:
        return np.array(Image.open(io.BytesIO(content)))
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableError(f"{path} is cut off or damaged: its {what} is incomplete; {AGAIN}") from error


def _wrong_size(path: Path, what: str, stated: tuple[int, int], found: str) -> UnreadableError:
    return UnreadableError(f"{path}: its {what} is stated as {stated[0]}x{stated[1]} and has {found}; {AGAIN}")
