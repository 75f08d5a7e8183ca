"""Crops of picture pairs, each a pure function of the seed, its number and its size.

Crop ``n`` is the same whatever was drawn before, in whatever process; all crops of a run are counted through. A resumed
run needs no sampler state, and N processes see what one would.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from cmmdl.errors import UserError
from cmmdl.files.colour import BLUE, GREEN, RED
from cmmdl.files.listing import composed, list_images, read_stems
from cmmdl.files.naming import Naming
from cmmdl.files.pairs import match_folders, nothing_pairs
from cmmdl.files.ranges import BY_TYPE, RangeRule, Side, range_of, settled
from cmmdl.files.reading import read_picture
from cmmdl.training.config import DataConfig, Source
from cmmdl.training.losses import TERMS

Planes = NDArray[Any]
"""``(3, H, W)``: infrared, visible luma, saliency mask."""

CONTRAST_TRIES = 10


@dataclass
class TrainingPair:
    """One pair of pictures, with its planes in memory if they fitted."""

    name: str
    ir: Path
    vis: Path
    mask: Path | None = None
    ranges: tuple[RangeRule, RangeRule] = (BY_TYPE, BY_TYPE)
    planes: Planes | None = field(default=None, repr=False)

    def load(self) -> Planes:
        """The planes ``(3, H, W)`` uint8, from memory or from the files."""
        if self.planes is not None:
            return self.planes
        ir, vis = read_luma(self.ir, self.ranges[0], "ir"), read_luma(self.vis, self.ranges[1], "vis")
        mask = np.zeros_like(ir) if self.mask is None else read_luma(self.mask)
        if not ir.shape == vis.shape == mask.shape:
            sizes = " and ".join(f"{x.shape[1]}x{x.shape[0]}" for x in (ir, vis, mask)[: 3 if self.mask else 2])
            raise UserError(f"{self.ir} and {self.vis} differ in size ({sizes}): register them first")
        return np.stack([ir, vis, mask])


def read_luma(path: Path, rule: RangeRule = BY_TYPE, side: Side = "ir") -> NDArray[np.uint8]:
    """A picture's luma (full-range BT.601) as ``(H, W)`` uint8, whatever its depth and colours.

    Args:
        path: The file.
        rule: Which values mean black and white.
        side: Whose option messages name.
    """
    picture = read_picture(path)
    (low, high), _ = range_of(picture.array, picture.white, rule, side=side, name=str(path))
    if picture.array.dtype == np.uint8 and (low, high) == (0, 255):
        levels = picture.array.astype(np.float32)
    else:
        levels = ((picture.array.astype(np.float64) - low) * (255 / (high - low))).clip(0, 255).astype(np.float32)
    if levels.ndim == 3:
        levels = levels @ np.array([RED, GREEN, BLUE], dtype=np.float32)
    return np.asarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))


def find_pairs(source: Source) -> tuple[list[TrainingPair], list[str]]:
    """The pairs of two folders in the order of their names, but those to leave out, and notes.

    Returns:
        The pairs, and a line about each thing worth knowing: how names were read, what has no partner.

    Raises:
        UserError: If nothing pairs, or nothing is left.
    """
    notes: list[str] = []
    naming = Naming(source.ir_name, source.vis_name, recursive=source.recursive)
    matched = match_folders(source.ir, source.vis, naming, note=notes.append)
    if not matched.both:
        raise UserError(nothing_pairs(source.ir, source.vis, matched))
    if matched.left_out:
        count = f"{source.ir}, {source.vis}: {len(matched.left_out)} left out"
        notes.append(f"{count}: {short_list(matched.left_out)}")
    left_out = read_stems(source.leave_out) if source.leave_out else set()
    pairs = [TrainingPair(key, *files) for key, files in matched.both.items() if key not in left_out]
    if not pairs:
        raise UserError(f"{source.leave_out} leaves no pair of {source.ir} and {source.vis}: shorten the list")
    ranges, more = _ranges([*matched.both.values()], source)
    for pair in pairs:
        pair.ranges = ranges
    return with_masks(pairs, source), [*notes, *more]


def _ranges(files: list[tuple[Path, Path]], source: Source) -> tuple[tuple[RangeRule, RangeRule], list[str]]:
    """One range a side for all pairs of a source, those that are left out included, and notes on them."""
    first, notes = settled(source.ir_range, [ir for ir, _ in files], "ir")
    second, more = settled(source.vis_range, [vis for _, vis in files], "vis")
    return (first, second), [*notes, *more]


def with_masks(pairs: list[TrainingPair], source: Source) -> list[TrainingPair]:
    """Gives each pair its mask, which has the name that the pair shares, or that of one of its files."""
    if not source.mask:
        return pairs
    masks = list_images(source.mask, recursive=source.recursive)
    for pair in pairs:
        folder = pair.name.rpartition("/")[0]
        names = [pair.name, *(str(PurePosixPath(folder, composed(path.stem))) for path in (pair.vis, pair.ir))]
        pair.mask = next((masks[name] for name in names if name in masks), None)
    return pairs


def refuse_unknown_stems(sources: Sequence[Source]) -> None:
    """Finds misspelt stems, which would be trained on, in the lists of what to leave out.

    Raises:
        UserError: If a list names a stem that none of the sources with this list has.
    """
    for file in dict.fromkeys(source.leave_out for source in sources if source.leave_out):
        known: set[str] = set()
        for source in sources:
            if source.leave_out == file:
                naming = Naming(source.ir_name, source.vis_name, recursive=source.recursive)
                matched = match_folders(source.ir, source.vis, naming)
                known |= {*matched.both, *matched.doubled, *(one.key for one in matched.alone)}
        if unknown := sorted(read_stems(file) - known):
            near = difflib.get_close_matches(unknown[0], known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else "; write file stems, without .png"
            raise UserError(f"{file} names stems that none of its sources has: {short_list(unknown)}{hint}")


class Crops(Dataset[dict[str, Any]]):
    """Augmented crops by number.

    Args:
        config: Sources, crop size, augmentation, and how much to keep in memory.
        seed: Seed of every draw.

    Raises:
        UserError: If a source has no pairs, or files cannot be read (all that were found bad are named).

    Attributes:
        pairs: The pairs of each source.
        ranges: What is black and white in each source, as texts: of its infrared and of its visible pictures.
        notes: What the user should know: unpaired files, ranges that were found.
    """

    def __init__(self, config: DataConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        self.pairs: list[list[TrainingPair]] = []
        self.notes: list[str] = []
        refuse_unknown_stems(config.sources)
        for source in config.sources:
            pairs, notes = find_pairs(source)
            self.pairs.append(pairs)
            self.notes += notes
        self.ranges = [[rule.describe() for rule in pairs[0].ranges] for pairs in self.pairs]
        weights = np.array([source.weight for source in config.sources])
        self._chances = weights / weights.sum()
        self._counts = [torch.tensor([counts_for(one, term) for term in TERMS]) for one in config.sources]
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
            ``ir``, ``vis`` and ``mask`` as ``(1, side, side)`` float32 in [0, 1], ``counts`` with a factor for each of
            `cmmdl.training.losses.TERMS`, and its ``name``.
        """
        number, size = numbered if isinstance(numbered, tuple) else (numbered, self.config.crop)
        rng = np.random.default_rng([self.seed, number])
        for _ in range(CONTRAST_TRIES):
            planes, source, name = self._draw(rng, size)
            if min(contrast(planes[0]), contrast(planes[1])) >= self.config.min_contrast:
                break
        planes[:2] = jitter_gamma(planes[:2], self.config.jitter, rng)
        ir, vis, mask = torch.from_numpy(np.ascontiguousarray(planes)).unsqueeze(1)
        return {"ir": ir, "vis": vis, "mask": mask, "counts": self._counts[source], "name": name}

    def _draw(self, rng: np.random.Generator, size: int) -> tuple[NDArray[np.float32], int, str]:
        """One crop ``(3, size, size)`` in [0, 1], the number of its source, and where it was taken from."""
        config = self.config
        source = int(rng.choice(len(self.pairs), p=self._chances))
        pairs = self.pairs[source]
        place = int(rng.integers(len(pairs)))
        pair = pairs[place]
        low, high = config.scale
        side = max(1, round(size / float(np.exp(rng.uniform(np.log(low), np.log(high))))))
        region, where = cut(pair, side, rng)
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
        name = f"{pair.ir} ({where})"
        if config.recombine and len(pairs) > 1 and rng.random() < config.recombine:
            other = pairs[(place + 1 + int(rng.integers(len(pairs) - 1))) % len(pairs)]
            foreign, where = cut(other, side, rng)
            region, name = np.stack([region[0], foreign[1], region[2]]), f"{name} with {other.vis} ({where})"
        crop = resize(region, size)
        if config.rotate:
            crop = np.rot90(crop, turns, axes=(1, 2))
        if config.flip and mirror:
            crop = crop[..., ::-1]
        return crop.copy(), source, name


def cut(pair: TrainingPair, side: int, rng: np.random.Generator) -> tuple[Planes, str]:
    """A square ``(3, side, side)`` anywhere in a pair, and where; smaller pictures are mirrored until they hold it."""
    planes = reflect_up(pair.load(), side)
    top, left = (int(rng.integers(length - side + 1)) for length in planes.shape[1:])
    return planes[:, top : top + side, left : left + side], f"{side}x{side} at {left},{top}"


def _try_load(pair: TrainingPair) -> Planes | UserError:
    try:
        return pair.load()
    except UserError as error:
        return error


def counts_for(source: Source, term: str) -> float:
    """How much a term of the loss counts for crops of a source, beside its weight."""
    return 0.0 if term in source.without else source.factors.get(term, 1.0)


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
