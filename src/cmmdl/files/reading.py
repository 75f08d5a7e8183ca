"""Reading picture files of every kind that is allowed, in full depth, or saying why not.

The first bytes decide the reader: tifffile for TIFF, netpbmfile for PGM and its kin, pillow-heif for HEIC, Pillow for
the rest as far as it keeps the depth. The size is checked from the header, before anything is decoded.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cmmdl.errors import UnreadableError, UnusableError, UserError
from cmmdl.files.codecs import deep_bits, read_deep, read_heif, read_netpbm
from cmmdl.files.filepicture import ALPHA, MAX_PIXELS, Array, FilePicture, check_size, is_turned, upright
from cmmdl.files.kinds import kind_of, refusal
from cmmdl.files.swapped import in_order
from cmmdl.files.tiff import needs_pillow, read_tiff

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF")
_PILLOW_LIMIT = threading.Lock()
_PILLOW_WARNS = 80_000_000
"""Pixels below Pillow's own limit; only above it does its limit have to be lifted for decoding too."""

_ORIENTATION, _GPS = 0x0112, 0x8825


def read_picture(path: str | Path, *, max_pixels: int = MAX_PIXELS, gaps: bool = False) -> FilePicture:
    """Reads a picture file and what it says of itself.

    PNG, JPEG, BMP, TIFF, WebP, PBM, PGM, PPM, PAM, PFM, JPEG 2000, AVIF, and HEIC where pillow-heif is installed.
    Palettes are decoded, the orientation is applied, alpha is dropped (not blended), and of several pages the first is
    taken. Colour profiles are not applied.

    Args:
        path: The file; its content, not its suffix, says which format it has.
        max_pixels: Largest height times width that is decoded.
        gaps: Leave NaN, as temperatures beyond a sensor's reach have it, rather than refuse it.

    Raises:
        UserError: If there is no such file, if it is no picture, damaged, too large, or holds NaN.
    """
    path = Path(path)
    try:
        _check_file(path)
        picture = _reader(path)(path, max_pixels)
    except UserError:
        raise
    except PermissionError as error:
        raise UnreadableError(
            f"{path}: no permission to read it; change its permissions (chmod u+r) and try again"
        ) from error
    except MemoryError as error:
        raise UnreadableError(
            f"{path}: not enough memory to decode it; close other programs or scale it down"
        ) from error
    except Exception as error:  # decoders raise anything on broken data
        told = isinstance(error, OSError | ValueError | SyntaxError | RuntimeError | cv2.error)
        reason = " ".join(str(error).split())[:100] if told else "its header is broken"
        raise UnreadableError(f"{path} is truncated or damaged ({reason}); copy it again from its source") from error
    if not gaps and picture.array.dtype.kind == "f" and not np.isfinite(picture.array).all():
        raise UnusableError(
            f"{path} contains NaN or infinite values; replace them (numpy.nan_to_num) and save it again"
        )
    return picture


def pillow_to_picture(image: Image.Image, name: str) -> FilePicture:
    """A Pillow picture: orientation applied, palette decoded, alpha dropped.

    Args:
        image: Any mode.
        name: How notes call it.

    Returns:
        uint8, uint16, int32 or float32.
    """
    orientation = image.getexif().get(_ORIENTATION, 1)
    metadata = _metadata(image)
    image = ImageOps.exif_transpose(image)
    alpha = image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info
    notes = {"alpha": f"{name}: {ALPHA}"} if alpha else {}
    return FilePicture(_pixels(image), None, is_turned(orientation), notes, metadata)


def quiet_decoders() -> None:
    """Silences what decoders print about broken files, since errors say it. For programs, not libraries."""
    warnings.filterwarnings("ignore", module="PIL")
    for name in ("tifffile", "netpbmfile", "pillow_heif"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    silence = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel  # by version
    silence(0)


def _check_file(path: Path) -> None:
    """Tells the plain mistakes apart before any decoder sees the file."""
    if path.is_dir():
        raise UnreadableError(f"{path} is a folder; give a picture file here, or folders on both sides")
    if not path.exists():
        raise UnreadableError(f"{path}: there is no such file; check the path")
    if path.is_file() and path.stat().st_size == 0:
        raise UnreadableError(f"{path} is empty (0 bytes); copy it again from its source")


def _reader(path: Path) -> Callable[[Path, int], FilePicture]:
    """What reads a file of that kind.

    Raises:
        UnreadableError: If it is no picture, with the way on.
    """
    kind = kind_of(path)
    if kind == "tiff":
        return _read_pillow if needs_pillow(path) else read_tiff
    readers = {"netpbm": read_netpbm, "heif": read_heif}
    readers |= dict.fromkeys(("png", "jpeg", "bmp", "webp", "jpeg 2000", "avif"), _read_pillow)
    if kind not in readers:
        raise refusal(path, kind)
    return readers[kind]


def _read_pillow(path: Path, max_pixels: int) -> FilePicture:
    """Reads the header by Pillow, and the pixels too where it keeps their depth."""
    with path.open("rb") as file:
        try:
            with _no_pillow_limit():
                image = Image.open(file, formats=_FORMATS)
        except UnidentifiedImageError as error:
            raise OSError("its header is broken") from error
        check_size(path, *image.size, max_pixels)
        with _no_pillow_limit() if image.width * image.height > _PILLOW_WARNS else nullcontext():
            image.load()
        bits = deep_bits(path, image)
        picture = _turned(read_deep(path, image, bits), image) if bits > 8 else pillow_to_picture(image, str(path))
    if image.format == "PNG":
        picture = _in_order(picture, path)
    pages = getattr(image, "n_frames", 1)
    more = {"pages": f"{path}: {pages} pages, the first is used"} if pages > 1 else {}
    return replace(picture, notes={**picture.notes, **more})


def _in_order(picture: FilePicture, path: Path) -> FilePicture:
    """The picture with the bytes of its values in order: raw PNGs out of FLIR cameras have them swapped."""
    array, swapped = in_order(picture.array)
    if not swapped:
        return picture
    told = {"bytes": f"{path}: its bytes were swapped, as in raw pictures of FLIR cameras; they are put in order"}
    return replace(picture, array=array, notes={**picture.notes, **told})


def _turned(picture: FilePicture, image: Image.Image) -> FilePicture:
    """What was decoded without Pillow, in the orientation that Pillow found, with the metadata."""
    orientation = image.getexif().get(_ORIENTATION, 1)
    array = upright(picture.array, orientation)
    return replace(picture, array=array, turned=is_turned(orientation), metadata=_metadata(image))


def _metadata(image: Image.Image) -> tuple[str, ...]:
    """What it holds beside pixels, its orientation left out."""
    exif, found = image.getexif(), []
    if any(tag not in (_ORIENTATION, _GPS) for tag in exif):
        found.append("EXIF")
    if exif.get_ifd(_GPS):
        found.append("GPS")
    names = {"icc_profile": "ICC profile", "xmp": "XMP"}
    return (*found, *(name for key, name in names.items() if image.info.get(key)))


def _pixels(image: Image.Image) -> Array:
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("I", "F"):
        return np.array(image, dtype=np.int32 if image.mode == "I" else np.float32)
    return np.array(image.convert("L" if image.mode in ("1", "L", "LA", "La") else "RGB"))


@contextmanager
def _no_pillow_limit() -> Iterator[None]:
    """Lifts Pillow's own limit on pixels, since ours is checked before anything is decoded."""
    with _PILLOW_LIMIT:
        kept, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = kept
