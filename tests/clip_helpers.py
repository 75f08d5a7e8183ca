"""Moving scenes as clips: drawn here, with any times, sound, rotation and pixel format."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

av = pytest.importorskip("av", reason="needs PyAV: pip install 'cmmdl[video]'")

WIDTH, HEIGHT = 96, 64
UNIT = Fraction(1, 15360)


def drawn(moment: float, *, infrared: bool, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """What a camera sees at a moment: texture, a bar that moves 20 pixels a second, warm in the infrared."""
    rows, columns = np.mgrid[:height, :width]
    texture = 60 + 25 * np.sin(columns / 5) + 20 * np.cos(rows / 4)
    bar = np.abs((columns - 10 - 20 * moment) % width - 6) < 4
    if infrared:
        return np.where(bar, 220, 0.6 * texture).astype(np.uint8)
    colour = np.stack([texture, 0.8 * texture + 30, 200 - texture], -1)
    return np.where(bar[..., None], 0.5 * colour, colour).astype(np.uint8)


def times(rate: float, seconds: float, start: float = 0.0) -> list[float]:
    """Moments at a constant rate."""
    return [start + k / rate for k in range(round(seconds * rate))]


def write_clip(
    path: Path,
    moments: Sequence[float],
    *,
    infrared: bool,
    shift: float = 0.0,
    rate: int = 25,
    codec: str = "libx264",
    pixel: str = "yuv420p",
    frames: Sequence[NDArray[Any]] | None = None,
    sound: float = 0.0,
    rotation: int = 0,
    tags: dict[str, int] | None = None,
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> list[NDArray[Any]]:
    """Writes a clip whose frame at each moment shows the scene at ``moment + shift``; returns what was drawn."""
    if frames is None:
        frames = [drawn(moment + shift, infrared=infrared, height=size[0], width=size[1]) for moment in moments]
    options = {"crf": "4", "preset": "ultrafast"} if codec == "libx264" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = (int(side) for side in frames[0].shape[:2])
        stream.pix_fmt, stream.codec_context.time_base = pixel, UNIT
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        if rotation:
            stream.set_display_rotation(rotation)
        voice = container.add_stream("aac", rate=16000, layout="mono") if sound else None
        for moment, pixels in zip(moments, frames, strict=True):
            deep, grey = pixels.dtype != np.uint8, pixels.ndim == 2
            kind = ("gray16le" if deep else "gray") if grey else ("rgb48le" if deep else "rgb24")
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=kind)
            frame.pts, frame.time_base = round(moment / UNIT), UNIT
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice is not None:
            _add_sound(container, voice, sound)
    return list(frames)


def _add_sound(container: Any, stream: Any, seconds: float) -> None:
    for block in range(int(seconds * 16000) // 1024):
        wave = np.sin(np.arange(block * 1024, block * 1024 + 1024) * 0.1).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.rate, frame.pts, frame.time_base = 16000, block * 1024, Fraction(1, 16000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def read_back(path: Path) -> tuple[list[float], list[NDArray[np.uint8]]]:
    """Times and RGB frames as PyAV itself gives them."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [float(frame.pts * frame.time_base) for frame in frames], [f.to_ndarray(format="rgb24") for f in frames]


def bar_of(picture: NDArray[Any]) -> float:
    """Where the bright bar of an infrared-like picture is, in pixels."""
    columns = picture.astype(float).mean(0) if picture.ndim == 2 else picture.astype(float).mean((0, 2))
    weights = np.clip(columns - 170, 0, None)
    return float((weights * np.arange(len(columns))).sum() / max(weights.sum(), 1e-9))
