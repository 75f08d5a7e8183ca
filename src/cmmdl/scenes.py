"""Synthetic infrared and visible pairs: a road at dusk, drawn from a seed.

Each picture shows what the other lacks: warm people and a warm engine are bright in the infrared and lost in the
dark, or behind smoke, in the visible; lit windows, lamps, lane markings and colour are in the visible only. Good
for demonstrations and tests; no substitute for real pictures in training or scoring.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

HORIZON = 0.46
"""Where sky meets ground, as a fraction of the height from the top."""


def synthetic_pair(height: int, width: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draws one scene in both modalities, registered to the pixel. The same arguments give the same pictures.

    Args:
        height: In pixels, from 1.
        width: In pixels, from 1.
        seed: Moves trees, people, lights and smoke, and changes every texture.

    Returns:
        ``(ir, vis)``: infrared ``(height, width)`` and visible ``(height, width, 3)`` RGB, uint8.

    Raises:
        ValueError: If a side is smaller than one pixel.
    """
    if height < 1 or width < 1:
        raise ValueError(f"a scene has at least 1x1 pixels, not {width}x{height}")
    scene = _Scene(height, width, np.random.default_rng(seed))
    for draw in (_sky, _hills, _ground, _building, _trees, _lamps, _car, _people, _smoke):
        draw(scene)
    return scene.finished()


COLDEST, HOTTEST = -4.0, 38.0
"""°C of what is darkest and brightest in the infrared of a radiometric scene."""

KELVIN_A_COUNT = 0.04
"""Of the 14-bit pictures that `counts_of` gives, as many cores of cameras have it."""


def radiometric_scene(height: int, width: int, seed: int = 0) -> tuple[Floats, NDArray[np.uint8]]:
    """The scene of `synthetic_pair` as a thermal camera measures it, registered to the pixel.

    Args:
        height: In pixels, from 1.
        width: In pixels, from 1.
        seed: As in `synthetic_pair`.

    Returns:
        ``(celsius, vis)``: ``(height, width)`` float32 in °C with a noise of 0.05 °C, and the visible picture
        ``(height, width, 3)`` RGB, uint8.

    Raises:
        ValueError: If a side is smaller than one pixel.
    """
    _, vis = synthetic_pair(height, width, seed)
    scene = _Scene(height, width, np.random.default_rng(seed))
    for draw in (_sky, _hills, _ground, _building, _trees, _lamps, _car, _people, _smoke):
        draw(scene)
    blurred = cv2.GaussianBlur(scene.ir, (0, 0), 0.7)
    noise = np.random.default_rng(seed).normal(0, 0.05, blurred.shape)
    return (COLDEST + (HOTTEST - COLDEST) * blurred + noise).astype(np.float32), vis


def counts_of(celsius: Floats) -> NDArray[np.uint16]:
    """Temperatures as a camera core counts them: 14 bits in uint16, `KELVIN_A_COUNT` each, from absolute zero."""
    return np.rint((celsius + 273.15) / KELVIN_A_COUNT).clip(0, 2**14 - 1).astype(np.uint16)


def moving_pairs(
    height: int, width: int, moments: Iterable[float], seed: int = 0
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Draws the scene of :func:`synthetic_pair` at several moments: the car drives and people walk, all else stands.

    Args:
        height: In pixels, from 1.
        width: In pixels, from 1.
        moments: In seconds.
        seed: As there.

    Yields:
        ``(ir, vis)`` as there, with sensor noise of its own each.
    """
    still = _Scene(height, width, np.random.default_rng(seed))
    for draw in (_sky, _hills, _ground, _building, _trees, _lamps):
        draw(still)
    for number, moment in enumerate(moments):
        scene = copy.copy(still)
        scene.ir, scene.vis, scene.random = still.ir.copy(), still.vis.copy(), np.random.default_rng((seed, 1))
        _car(scene, 0.04 * moment)
        _people(scene, 0.05 * moment)
        _smoke(scene)
        scene.random = np.random.default_rng((seed, 2, number))
        yield scene.finished()


class _Scene:
    """The two pictures being drawn, their coordinates and the source of chance.

    ``x`` runs over the width and ``y`` down, both in units of the height (x from 0 to the aspect ratio), so that
    shapes keep their proportions at any size.
    """

    def __init__(self, height: int, width: int, random: np.random.Generator) -> None:
        self.random = random
        self.aspect = width / height
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        self.y: Floats = (rows + 0.5) / height
        self.x: Floats = (columns + 0.5) / height
        self.pixel = 1 / height
        self.ir: Floats = np.zeros((height, width), np.float32)
        self.vis: Floats = np.zeros((height, width, 3), np.float32)

    def paint(self, mask: Floats, *, ir: Any = None, vis: Any = None) -> None:
        """Lays a value or picture over ``ir``, a colour or picture over ``vis``, where the mask is 1."""
        if ir is not None:
            self.ir += mask * (ir - self.ir)
        if vis is not None:
            self.vis += mask[..., None] * (np.asarray(vis, np.float32) - self.vis)

    def shine(self, x: float, y: float, radius: float, colour: tuple[float, float, float]) -> None:
        """Adds a glow to the visible picture."""
        distance = np.hypot(self.x - x, self.y - y) / radius
        self.vis += (1 / (1 + distance**2) ** 2)[..., None] * np.asarray(colour, np.float32)

    def inside(self, distance: Floats) -> Floats:
        """A mask with smooth edges, one pixel wide, of a signed distance that is negative inside."""
        return np.clip(0.5 - distance / self.pixel, 0, 1)

    def box(self, x0: float, y0: float, x1: float, y1: float) -> Floats:
        return self.inside(np.maximum(np.maximum(x0 - self.x, self.x - x1), np.maximum(y0 - self.y, self.y - y1)))

    def ellipse(self, x: float, y: float, rx: float, ry: float) -> Floats:
        return self.inside((np.hypot((self.x - x) / rx, (self.y - y) / ry) - 1) * min(rx, ry))

    def noise(self, cell_x: float, cell_y: float, octaves: int = 4) -> Floats:
        """Smooth noise in about [-1, 1], its largest cells as given, each octave half as wide and 0.6 as strong."""
        height, width = self.ir.shape
        total = np.zeros((height, width), np.float32)
        for octave in range(octaves):
            rows, columns = 2**octave / cell_y, self.aspect * 2**octave / cell_x
            grid = (min(int(rows), height) + 2, min(int(columns), width) + 2)
            values = self.random.uniform(-1, 1, grid).astype(np.float32)
            total += 0.6**octave * cv2.resize(values, (width, height), interpolation=cv2.INTER_CUBIC)
        return total

    def finished(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Both pictures with sensor noise and blur, as uint8."""
        ir = cv2.GaussianBlur(self.ir, (0, 0), 0.7) + self.random.normal(0, 0.006, self.ir.shape)
        vis = self.vis + self.random.normal(0, 0.008, self.vis.shape)
        return _to_uint8(ir), _to_uint8(vis.reshape(self.vis.shape))


def _rgb(red: float, green: float, blue: float) -> Floats:
    return np.array([red, green, blue], np.float32)


def _to_uint8(image: NDArray[Any]) -> NDArray[np.uint8]:
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _sky(s: _Scene) -> None:
    """Dusk: dark blue above, a warm band at the horizon; cold in the infrared."""
    up = np.clip(1 - s.y / HORIZON, 0, 1)
    cloud = np.clip(s.noise(0.5, 0.12, 5) - 0.15, 0, 1)
    glow = np.exp(-(up**2) / 0.06)[..., None] * _rgb(0.42, 0.23, 0.10)
    s.vis += _rgb(0.07, 0.11, 0.22) * (0.6 + 0.7 * (1 - up[..., None])) + glow
    s.vis += cloud[..., None] * (_rgb(0.10, 0.07, 0.08) + 0.5 * glow)
    s.ir += 0.06 + 0.08 * (1 - up) + 0.06 * cloud


def _hills(s: _Scene) -> None:
    """A dark ridge; the infrared tells its rock from its woods."""
    ridge = HORIZON - 0.05 - 0.04 * np.sin(3.1 * s.x + s.random.uniform(0, 6)) - 0.012 * s.noise(0.2, 9.0, 4)[:1]
    texture = s.noise(0.12, 0.04, 5)
    s.paint(s.inside(ridge - s.y), ir=0.27 + 0.05 * texture, vis=_rgb(0.055, 0.06, 0.075))


def _ground(s: _Scene) -> None:
    """Grass, and a road that narrows towards the horizon, with a dashed line."""
    down = np.clip((s.y - HORIZON) / (1 - HORIZON), 0, 1)
    grain = s.noise(0.05, 0.02, 5)
    green = _rgb(0.075, 0.10, 0.05) * (0.6 + 0.6 * down)[..., None] * (1 + 0.45 * grain[..., None])
    s.paint(s.inside(HORIZON - s.y), ir=0.30 + 0.06 * grain + 0.05 * s.noise(0.4, 0.1, 3), vis=green)
    middle = s.aspect * (0.56 - 0.08 * down)
    half = 0.02 + 0.40 * down
    asphalt = s.noise(0.02, 0.01, 3)
    on_road = s.inside(np.maximum(np.abs(s.x - middle) - half, HORIZON - s.y))
    s.paint(on_road, ir=0.46 + 0.02 * asphalt, vis=(0.10 + 0.016 * asphalt)[..., None] * _rgb(1, 1, 1.08))
    dash = (np.sin(2.4 / (down + 0.06) * 2) > 0) & (down > 0.02)
    side = s.inside(np.abs(np.abs(s.x - middle) - 0.9 * half) - 0.012 * half)
    line = np.maximum(s.inside(np.abs(s.x - middle) - 0.02 * half) * dash, side) * on_road
    s.paint(line * 0.85, ir=0.43, vis=_rgb(0.42, 0.41, 0.36))


def _building(s: _Scene) -> None:
    """A house at the left: warm walls, some windows lit."""
    x0, x1, y0, y1 = 0.03 * s.aspect, 0.30 * s.aspect, 0.16, 0.60
    bricks = 0.03 * np.sign(np.sin(s.y * 330)) + 0.03 * s.noise(0.03, 0.015, 3)
    wall = s.box(x0, y0, x1, y1)
    s.paint(wall, ir=0.40 + 0.4 * bricks + 0.05 * (y1 - s.y), vis=_rgb(0.12, 0.09, 0.085) + bricks[..., None] / 3)
    s.paint(s.box(x0 - 0.01, y0 - 0.02, x1 + 0.01, y0 + 0.012), ir=0.22, vis=_rgb(0.05, 0.05, 0.06))
    step_x, step_y = (x1 - x0) / 4, (y1 - y0) / 4
    for row in range(3):
        for column in range(4):
            left, top = x0 + step_x * (column + 0.24), y0 + step_y * (row + 0.35)
            _window(s, (left, top, left + 0.52 * step_x, top + 0.56 * step_y), lit=s.random.random() < 0.45)
    s.paint(s.box(x0 + 1.7 * step_x, y1 - 0.11, x0 + 2.3 * step_x, y1), ir=0.50, vis=_rgb(0.05, 0.035, 0.03))


def _window(s: _Scene, box: tuple[float, float, float, float], *, lit: bool) -> None:
    x0, y0, x1, y1 = box
    glass = _rgb(0.95, 0.74, 0.36) if lit else _rgb(0.05, 0.06, 0.09)
    s.paint(s.box(*box), ir=0.50 if lit else 0.31, vis=glass)
    cross = np.maximum(
        s.box((x0 + x1) / 2 - 0.002, y0, (x0 + x1) / 2 + 0.002, y1), s.box(x0, (y0 + y1) / 2 - 0.002, x1, (y0 + y1) / 2)
    )
    s.paint(cross, ir=0.36, vis=_rgb(0.10, 0.08, 0.07))
    if lit:
        s.shine((x0 + x1) / 2, (y0 + y1) / 2, 0.05, (0.10, 0.07, 0.03))


def _trees(s: _Scene) -> None:
    """Crowns whose leaves the infrared shows in detail, the visible as dark shapes against the sky."""
    for place, size in ((0.37, 0.15), (0.80, 0.17), (0.90, 0.24), (1.0, 0.20)):
        x = s.aspect * place + s.random.uniform(-0.03, 0.03)
        base = HORIZON + 0.35 * size + 0.03
        s.paint(s.box(x - 0.05 * size, base - size, x + 0.05 * size, base), ir=0.36, vis=_rgb(0.045, 0.035, 0.03))
        leaves = s.noise(0.035, 0.035, 4)
        crown = np.hypot((s.x - x) / (0.62 * size), (s.y - base + 1.05 * size) / (0.75 * size)) - 1 + 0.28 * leaves
        green = _rgb(0.04, 0.062, 0.035) * (1 + 0.5 * leaves[..., None])
        s.paint(s.inside(crown * 0.5 * size), ir=0.33 + 0.10 * leaves, vis=green)


def _lamps(s: _Scene) -> None:
    """Street lamps: a bright head and a pool of light in the visible, a faint post in the infrared."""
    for place, size in ((0.46, 0.20), (0.73, 0.32)):
        x, foot = s.aspect * place, HORIZON + 0.55 * size
        top = foot - 1.35 * size
        s.paint(s.box(x - 0.004, top, x + 0.004, foot), ir=0.40, vis=_rgb(0.06, 0.06, 0.06))
        pool = np.exp(-(((s.x - x) / (0.7 * size)) ** 2) - ((s.y - foot) / (0.16 * size)) ** 2)
        s.vis += (
            (pool * (s.y > HORIZON))[..., None] * _rgb(0.26, 0.20, 0.10) * (0.4 + 4 * s.vis.mean(-1, keepdims=True))
        )
        s.shine(x, top, 0.09 * size, (1.0, 0.82, 0.5))
        s.paint(s.ellipse(x, top, 0.05 * size, 0.028 * size), ir=0.56, vis=_rgb(1, 0.95, 0.8))


def _car(s: _Scene, driven: float = 0.0) -> None:
    """A car coming near: headlights dazzle in the visible; bonnet and tyres are warm."""
    x, y, size = s.aspect * (0.60 - driven) + s.random.uniform(-0.02, 0.02), 0.645, 0.085
    s.paint(s.ellipse(x, y + 0.62 * size, 1.25 * size, 0.2 * size), ir=0.52, vis=_rgb(0.03, 0.03, 0.035))
    for side in (-0.68, 0.68):
        tyre = s.box(x + (side - 0.16) * size, y + 0.25 * size, x + (side + 0.16) * size, y + 0.68 * size)
        s.paint(tyre, ir=0.74, vis=_rgb(0.02, 0.02, 0.02))
    s.paint(s.ellipse(x, y - 0.42 * size, 0.72 * size, 0.5 * size), ir=0.34, vis=_rgb(0.05, 0.055, 0.08))
    s.paint(s.ellipse(x, y - 0.42 * size, 0.58 * size, 0.36 * size), ir=0.25, vis=_rgb(0.09, 0.10, 0.14))
    s.paint(s.box(x - size, y - 0.25 * size, x + size, y + 0.45 * size), ir=0.58, vis=_rgb(0.13, 0.03, 0.035))
    s.paint(
        s.box(x - 0.5 * size, y - 0.02 * size, x + 0.5 * size, y + 0.3 * size),
        ir=0.88,
        vis=_rgb(0.03, 0.03, 0.03),
    )
    for side in (-0.76, 0.76):
        s.shine(x + side * size, y + 0.05 * size, 0.42 * size, (0.9, 0.88, 0.75))
        s.paint(s.ellipse(x + side * size, y + 0.05 * size, 0.13 * size, 0.11 * size), ir=0.66, vis=_rgb(1, 1, 0.95))


def _people(s: _Scene, walked: float = 0.0) -> None:
    """Three people: in the dark before the house, beside the road, and where the smoke will be."""
    for place, foot, size, way in ((0.345, 0.71, 0.20, 1), (0.835, 0.80, 0.28, -1), (0.17, 0.90, 0.33, 0.4)):
        x = s.aspect * (place + way * walked) + s.random.uniform(-0.02, 0.02)
        cloth = _rgb(0.055, 0.05, 0.06) * (1 + 0.3 * s.noise(0.02, 0.02, 2)[..., None])
        stride = s.random.uniform(0.05, 0.10) * size
        for side in (-1, 1):
            leg = np.abs(s.x - x - side * stride * (s.y - foot + 0.45 * size) / (0.45 * size)) - 0.05 * size
            s.paint(
                s.inside(np.maximum(np.maximum(leg, foot - 0.47 * size - s.y), s.y - foot)), ir=0.80, vis=cloth * 0.8
            )
            arm = np.abs(s.x - x - side * (0.10 * size + 0.35 * (s.y - foot + 0.8 * size))) - 0.032 * size
            s.paint(
                s.inside(np.maximum(np.maximum(arm, foot - 0.8 * size - s.y), s.y - foot + 0.47 * size)),
                ir=0.78,
                vis=cloth,
            )
        s.paint(
            s.ellipse(x, foot - 0.63 * size, 0.115 * size, 0.22 * size),
            ir=0.86 + 0.05 * s.noise(0.03, 0.03, 2),
            vis=cloth,
        )
        s.paint(s.ellipse(x, foot - 0.92 * size, 0.06 * size, 0.08 * size), ir=0.97, vis=_rgb(0.10, 0.075, 0.06))


def _smoke(s: _Scene) -> None:
    """Lit smoke that hides the nearest person from the visible; the infrared looks through it."""
    x = s.aspect * 0.17
    drift = (s.x - x - 0.5 * (0.75 - s.y) * (s.y < 0.75)) / (0.16 + 0.10 * (1 - s.y))
    body = np.exp(-(drift**2)) * np.exp(-(((s.y - 0.78) / 0.24) ** 2))
    density = np.clip(1.7 * body * (0.85 + 0.45 * s.noise(0.16, 0.16, 5)), 0, 0.97)
    shade = np.clip(0.50 + 0.10 * s.noise(0.10, 0.10, 4), 0, 1)[..., None]
    s.paint(density, ir=s.ir * 0.96 + 0.015, vis=shade * _rgb(0.98, 0.94, 0.92))
