"""Crops of picture pairs, each a pure function of the seed, its number and its size.

Crop ``n`` is the same whatever was drawn before, in whatever process; all crops of a run are counted through. A resumed
run needs no sampler state, and N processes see what one would.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from cmmdl.errors import UserError
from cmmdl.images import list_images, read_image
from cmmdl.training.config import DataConfig, Source

Planes = NDArray[Any]
"""``(3, H, W)``: infrared, visible luma, saliency mask."""

CONTRAST_TRIES = 10


@dataclass
class Pair:
    """One pair of pictures, with its planes in memory if they fitted."""

    name: str
    ir: Path
    vis: Path
    mask: Path | None = None
    planes: Planes | None = field(default=None, repr=False)

    def load(self) -> Planes:
        """The planes ``(3, H, W)`` uint8, from memory or from the files."""
        if self.planes is not None:
            return self.planes
        ir, vis = read_luma(self.ir), read_luma(self.vis)
        mask = np.zeros_like(ir) if self.mask is None else read_luma(self.mask)
        if not ir.shape == vis.shape == mask.shape:
            sizes = " and ".join(f"{x.shape[1]}x{x.shape[0]}" for x in (ir, vis, mask)[: 3 if self.mask else 2])
            raise UserError(f"{self.ir} and {self.vis} differ in size ({sizes}): register them first")
        return np.stack([ir, vis, mask])


def read_luma(path: Path) -> NDArray[np.uint8]:
    """A picture's luma (full-range BT.601) as ``(H, W)`` uint8, whatever its depth and colours."""
    image = read_image(path)
    levels = image.astype(np.float32) * {"uint8": 1.0, "uint16": 1 / 257.0}.get(image.dtype.name, 255.0)
    if levels.ndim == 3:
        levels = levels[..., :3] @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return np.asarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))


def find_pairs(source: Source) -> tuple[list[Pair], list[str]]:
    """The pairs of two folders, matched by file stem and sorted, and the stems that only one of them has.

    Raises:
        UserError: If no stem is in both folders, or those to leave out are all of them or none of them.
    """
    ir, vis = list_images(source.ir), list_images(source.vis)
    masks = list_images(source.mask) if source.mask else {}
    both = ir.keys() & vis.keys()
    if not both:
        raise UserError(f"no file stem is in both {source.ir} and {source.vis}: pairs need the same name in both")
    left_out = read_stems(source.leave_out) if source.leave_out else set()
    if left_out and left_out.isdisjoint(ir.keys() | vis.keys()):
        raise UserError(
            f"{source.leave_out} names no picture of {source.ir} or {source.vis} (its first is {min(left_out)!r}): "
            "write file stems, without .png, so that what is held out is not trained on"
        )
    names = sorted(both - left_out)
    if not names:
        raise UserError(f"{source.leave_out} leaves no pair of {source.ir} and {source.vis}: shorten the list")
    pairs = [Pair(name, Path(ir[name]), Path(vis[name]), masks.get(name)) for name in names]
    return pairs, sorted(ir.keys() ^ vis.keys())


def read_stems(path: Path) -> set[str]:
    """The file stems in a text file, one a line.

    Raises:
        UserError: If it cannot be read.
    """
    try:
        return {line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a list of file stems, one a line") from error


class Crops(Dataset[dict[str, Any]]):
    """Augmented crops by number.

    Args:
        config: Sources, crop size, augmentation, and how much to keep in memory.
        seed: Seed of every draw.

    Raises:
        UserError: If a source has no pairs, or files cannot be read (all that were found bad are named).

    Attributes:
        pairs: The pairs of each source.
        notes: What the user should know: unpaired files.
    """

    def __init__(self, config: DataConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        self.pairs: list[list[Pair]] = []
        self.notes: list[str] = []
        for source in config.sources:
            pairs, unpaired = find_pairs(source)
            self.pairs.append(pairs)
            if unpaired:
                self.notes.append(f"{source.ir}, {source.vis}: {len(unpaired)} without partner: {short_list(unpaired)}")
        weights = np.array([source.weight for source in config.sources])
        self._chances = weights / weights.sum()
        self._keep_in_memory(config.memory_mb * 2**20)

    def _keep_in_memory(self, budget: int) -> None:
        """Decode pairs until the budget is spent; the others are read whenever they are drawn."""
        everything = [pair for pairs in self.pairs for pair in pairs]
        bad: list[str] = []
        with ThreadPoolExecutor(4) as pool:
            for start in range(0, len(everything), 64):
                chunk = everything[start : start + 64]
                for pair, planes in zip(chunk, pool.map(_try_load, chunk), strict=True):
                    if isinstance(planes, UserError):
                        bad.append(str(planes))
                    elif planes.nbytes <= budget:
                        pair.planes = planes
                        budget -= planes.nbytes
                    else:
                        budget = 0
                if budget == 0:
                    break
        if bad:
            raise UserError(f"{len(bad)} bad training pairs: {short_list(bad)}")

    def __getitem__(self, numbered: int | tuple[int, int]) -> dict[str, Any]:
        """A crop by its number, or its number and side in pixels; the side is ``data.crop`` if it is not given.

        Returns:
            ``ir``, ``vis`` and ``mask`` as ``(1, side, side)`` float32 in [0, 1], and its ``name``.
        """
        number, size = numbered if isinstance(numbered, tuple) else (numbered, self.config.crop)
        rng = np.random.default_rng([self.seed, number])
        for _ in range(CONTRAST_TRIES):
            planes, name = self._draw(rng, size)
            if min(contrast(planes[0]), contrast(planes[1])) >= self.config.min_contrast:
                break
        planes[:2] = jitter_gamma(planes[:2], self.config.jitter, rng)
        ir, vis, mask = torch.from_numpy(np.ascontiguousarray(planes)).unsqueeze(1)
        return {"ir": ir, "vis": vis, "mask": mask, "name": name}

    def _draw(self, rng: np.random.Generator, size: int) -> tuple[NDArray[np.float32], str]:
        """One crop ``(3, size, size)`` in [0, 1] and where it was taken from."""
        config = self.config
        pairs = self.pairs[int(rng.choice(len(self.pairs), p=self._chances))]
        pair = pairs[int(rng.integers(len(pairs)))]
        low, high = config.scale
        side = max(1, round(size / float(np.exp(rng.uniform(np.log(low), np.log(high))))))
        planes = reflect_up(pair.load(), side)
        top, left = (int(rng.integers(length - side + 1)) for length in planes.shape[1:])
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
        crop = resize(planes[:, top : top + side, left : left + side], size)
        if config.rotate:
            crop = np.rot90(crop, turns, axes=(1, 2))
        if config.flip and mirror:
            crop = crop[..., ::-1]
        return crop.copy(), f"{pair.ir} ({side}x{side} at {left},{top})"


def _try_load(pair: Pair) -> Planes | UserError:
    try:
        return pair.load()
    except UserError as error:
        return error


def short_list(items: list[str], most: int = 5) -> str:
    """The first few items in one line, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return "; ".join(items[:most]) + more


def reflect_up(planes: Planes, side: int) -> Planes:
    """Planes ``(3, H, W)`` mirrored at the lower and right border until both sides have at least ``side`` pixels."""
    missing = [max(0, side - length) for length in planes.shape[1:]]
    return np.pad(planes, [(0, 0), (0, missing[0]), (0, missing[1])], mode="symmetric") if any(missing) else planes


def resize(planes: Planes, side: int) -> NDArray[np.float32]:
    """Square planes ``(3, n, n)`` uint8 to ``(3, side, side)`` in [0, 1]: by areas when shrinking, else cubic."""
    image: NDArray[Any] = np.ascontiguousarray(planes.transpose(1, 2, 0), dtype=np.float32) / 255
    if len(image) != side:
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if len(image) > side else cv2.INTER_CUBIC)
    return np.clip(image, 0, 1).transpose(2, 0, 1)


def contrast(plane: NDArray[np.float32]) -> float:
    """How far the darkest and the brightest tenth of a plane in [0, 1] lie apart: from 0 to 1."""
    low, high = np.percentile(plane, [10, 90])
    return float(high - low)


def jitter_gamma(planes: NDArray[np.float32], strength: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Each plane to a power of its own, between ``exp(-strength)`` and ``exp(strength)``: brightness, range kept."""
    powers = np.exp(rng.uniform(-strength, strength, size=(len(planes), 1, 1)))
    return planes if strength == 0 else (planes**powers).astype(np.float32)
