"""Reading and writing picture files: bit depth, size and colour survive the round trip.

Pillow reads every header and decodes what has eight bits; OpenCV decodes what is deeper. The size is checked from
the header, before anything is decoded. Files are written under a temporary name and renamed, so that there is never
half a picture.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from cmmdl.errors import TooLargeError, UnreadableError, UnusableError, UsageError, UserError
from cmmdl.files.atomic import write_bytes
from cmmdl.files.deep import TIFF, read_deep, tiff_header

MAX_PIXELS = 100_000_000
"""Pictures with more pixels than this are refused unless ``max_pixels`` says otherwise."""

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

Array = NDArray[Any]
Note = Callable[[str], None]

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
_PILLOW_LIMIT = threading.Lock()
_PILLOW_WARNS = 80_000_000
"""Pixels below Pillow's own limit; only above it does its limit have to be lifted for decoding too."""


def read_image(path: str | Path, *, max_pixels: int = MAX_PIXELS, note: Note = warnings.warn) -> Array:
    """Reads a PNG, JPEG, BMP, TIFF or WebP file.

    Palettes are decoded, the EXIF orientation is applied, alpha is dropped (not blended) and of several pages the
    first is taken; the last two are told to ``note``. Colour profiles are not applied.

    Args:
        path: The file; its content, not its suffix, says which format it has.
        max_pixels: Largest height times width that is decoded.
        note: Called with a line about anything that was dropped.

    Returns:
        ``(H, W)`` grey or ``(H, W, 3)`` RGB: uint8, uint16, or float32 (of float TIFF files, in their own range).

    Raises:
        UserError: If there is no such file, if it is no picture, damaged, too large, or holds NaN.
    """
    path = Path(path)
    try:
        _check_file(path)
        array = _read_pillow(path, max_pixels, note)
    except UserError:
        raise
    except PermissionError as error:
        raise UnreadableError(
            f"{path}: no permission to read it; change its rights (chmod u+r) and try again"
        ) from error
    except MemoryError as error:
        raise UnreadableError(
            f"{path}: not enough memory to decode it; close other programs or scale it down"
        ) from error
    except Exception as error:  # decoders raise anything on broken data
        told = isinstance(error, OSError | ValueError | SyntaxError | cv2.error)
        reason = " ".join(str(error).split())[:100] if told else "its header is broken"
        raise UnreadableError(f"{path} is truncated or damaged ({reason}); copy it again from its source") from error
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UnusableError(f"{path} holds NaN or infinite values; replace them (numpy.nan_to_num) and save it again")
    return array


def write_image(path: str | Path, array: Array) -> None:
    """Writes a picture; the suffix says the format. After a kill or an error there is no half file.

    JPEG has quality 95, WebP is lossless.

    Args:
        path: Where to; ``.png .jpg .jpeg .bmp .tif .tiff .webp``.
        array: ``(H, W)`` grey or ``(H, W, 3)`` RGB. uint8 goes into any format, uint16 into PNG and TIFF, float
            into TIFF (as float32).

    Raises:
        UserError: If the format cannot hold the array, or the file cannot be written.
    """
    path = Path(path)
    write_bytes(path, encode(path, array))


def check_suffix(path: Path) -> str:
    """The suffix in lower case.

    Raises:
        UserError: If it is no format that can be written.
    """
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise UsageError(f"{path}: {suffix or 'a name without suffix'} is no format to write; use .png, .tif or .jpg")
    return suffix


def list_images(folder: str | Path, *, strip: str = "") -> dict[str, Path]:
    """The pictures of a folder by stem, in the order of their names. Hidden files are left out.

    Args:
        folder: Not searched deeper.
        strip: Taken off the end of each stem that has it: with ``_ir``, ``a_ir.png`` is listed as ``a``.

    Raises:
        UserError: If it is no folder, or two files share a stem.
    """
    folder = Path(folder)
    try:
        paths = sorted(folder.iterdir())
    except NotADirectoryError as error:
        raise UserError(f"{folder} is not a folder; give the folder that holds the pictures") from error
    except OSError as error:
        raise UserError(f"{folder} cannot be listed ({error.strerror}); check the path and its rights") from error
    found: dict[str, Path] = {}
    for path in paths:
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith(".") or path.is_dir():
            continue
        stem = path.stem.removesuffix(strip) or path.stem
        if stem in found:
            raise UserError(f"{folder}: {found[stem].name} and {path.name} share the stem {stem!r}; remove one of them")
        found[stem] = path
    return found


def pillow_to_array(image: Image.Image, note: Note = warnings.warn) -> Array:
    """A Pillow picture as an array: orientation applied, palette decoded, alpha dropped.

    Args:
        image: Any mode.
        note: Called with a line if alpha was dropped.

    Returns:
        ``(H, W)`` or ``(H, W, 3)``, uint8, uint16 or float32.

    Raises:
        UserError: If it holds signed or 32-bit whole numbers.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        note("alpha dropped")
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode == "I":
        raise UserError("signed or 32-bit whole numbers have no agreed range; save it with 8 or 16 bits or as float")
    if image.mode == "F":
        return np.array(image, dtype=np.float32)
    return np.array(image.convert("L" if image.mode in ("1", "L", "LA", "La") else "RGB"))


def quiet_decoders() -> None:
    """Silences what decoders print about broken files, since errors say it. For programs, not libraries."""
    warnings.filterwarnings("ignore", module="PIL")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _check_file(path: Path) -> None:
    """Tells the plain mistakes apart before any decoder sees the file."""
    if path.is_dir():
        raise UnreadableError(f"{path} is a folder; give a picture file here, or folders on both sides")
    if not path.exists():
        raise UnreadableError(f"{path}: there is no such file; check the path")
    if path.is_file() and path.stat().st_size == 0:
        raise UnreadableError(f"{path} is empty (0 bytes); copy it again from its source")


def _read_pillow(path: Path, max_pixels: int, note: Note) -> Array:
    """Reads what Pillow can; hands deeper pixels on to OpenCV once the header was checked."""
    with path.open("rb") as file:  # of a path Pillow maps the file into memory, and turned TIFFs come out garbled
        try:
            with _no_pillow_limit():
                image = Image.open(file, formats=_FORMATS)
        except UnidentifiedImageError:
            return _read_other(path, max_pixels, note)
        _check_size(path, *image.size, max_pixels)
        if image.format == "TIFF":
            tiff_header(path)
        with _no_pillow_limit() if image.width * image.height > _PILLOW_WARNS else nullcontext():
            image.load()
        if (pages := getattr(image, "n_frames", 1)) > 1:
            note(f"{path}: {pages} pages, the first is used")
        if not _deeper_than_pillow(path, image):
            return _named(path, image, note)
        orientation = image.getexif().get(0x0112, 1) if image.format == "PNG" else tiff_header(path)[2]
        return read_deep(path, orientation, grey=image.mode in ("L", "LA"), note=note)


def _named(path: Path, image: Image.Image, note: Note) -> Array:
    """:func:`pillow_to_array` with the file's name in what it says."""
    try:
        return pillow_to_array(image, lambda text: note(f"{path}: {text}"))
    except UserError as error:
        raise UnreadableError(f"{path}: {error}") from error


def _read_other(path: Path, max_pixels: int, note: Note) -> Array:
    """Reads a file that Pillow does not know: a TIFF of several deep channels, or no picture at all."""
    with path.open("rb") as file:
        magic = file.read(4)
    if magic not in TIFF:
        if magic.startswith((b"\x89PNG", b"\xff\xd8", b"BM", b"RIFF")):
            raise OSError("its header is broken")
        raise UnreadableError(
            f"{path} is no PNG, JPEG, BMP, TIFF or WebP picture, whatever its name says; convert it first"
        )
    width, height, orientation = tiff_header(path)
    _check_size(path, width, height, max_pixels)
    return read_deep(path, orientation, grey=False, note=note)


def _deeper_than_pillow(path: Path, image: Image.Image) -> bool:
    """Whether Pillow cut 16 bits a channel down to 8 (it keeps them only where there is one channel)."""
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        return False
    if image.format == "PNG":
        with path.open("rb") as file:
            return file.read(25)[24] == 16
    return isinstance(image, TiffImagePlugin.TiffImageFile) and max(image.tag_v2.get(258, (8,))) > 8


def _check_size(path: Path, width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise TooLargeError(
            f"{path}: {width}x{height} is {width * height / 1e6:.1f} megapixels, above the limit of "
            f"{max_pixels / 1e6:.1f}; if it is meant to be that large, pass --max-pixels {width * height}"
        )


@contextmanager
def _no_pillow_limit() -> Iterator[None]:
    """Lifts Pillow's own limit on pixels, since ours is checked before anything is decoded."""
    with _PILLOW_LIMIT:
        kept, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = kept


def encode(path: Path, array: Array) -> bytes:
    """The bytes of the file, made in memory."""
    suffix = check_suffix(path)
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
    check_depth(path, array.dtype)
    pixels = np.ascontiguousarray(array[..., ::-1]) if array.ndim == 3 else array
    options = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95], ".webp": [cv2.IMWRITE_WEBP_QUALITY, 101]}
    try:
        done, data = cv2.imencode(suffix, pixels, options.get(suffix.replace("jpeg", "jpg"), []))
    except cv2.error as error:
        raise UserError(f"{path}: {suffix} cannot hold {array.shape} {array.dtype}; write .png or .tif") from error
    if not done:
        raise UserError(f"{path}: {suffix} cannot hold {array.shape} {array.dtype}; write .png or .tif")
    return data.tobytes()


def check_depth(path: Path, dtype: np.dtype[Any] | type[np.generic] | str) -> None:
    """Refuses a depth that the format cannot hold, rather than cutting it down in silence.

    Raises:
        UserError: Naming the formats that can.
    """
    dtype, suffix = np.dtype(dtype), check_suffix(path)
    tiff = suffix in (".tif", ".tiff")
    if dtype == np.uint8 or (dtype == np.uint16 and (tiff or suffix == ".png")) or (dtype == np.float32 and tiff):
        return
    if dtype in (np.uint16, np.float32):
        fits = "PNG or TIFF" if dtype == np.uint16 else "TIFF"
        raise UsageError(f"{path}: {suffix} cannot hold {dtype}; write {fits}, or ask for --depth uint8")
    raise UserError(f"{path}: {dtype} cannot be written; convert it to uint8, uint16 or float32")
