"""What a run will take: its memory before it starts, its hours from the first steps."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import torch

from cmmdl.runtimes.memory import available_bytes
from cmmdl.runtimes.peak import peak_bytes
from cmmdl.training.config import DataConfig, Phase, TrainConfig

BASE = 400 * 2**20
"""Bytes of the program itself and what it loads."""

LOSS = 1200
"""Bytes for each pixel of a batch that the loss and its gradient take."""

PARTS, BLOCK = 743, 369
"""Bytes for each pixel and channel that the full network takes beside its Restormer blocks, and for each of those.

Measured on one step of two crops of 128 pixels in float32: 36.7 kB for each pixel with 16 channels and 4 blocks,
36.8 kB with 32 channels and 1 block.
"""

SMALL = 3
"""The same of the small network, beside the loss: 1.16 kB for each pixel in all with 16 channels, 1.28 kB with 32."""

STEPS = range(2, 5)
"""The steps after the start that are timed: the first one is slow."""


def expected_bytes(config: TrainConfig) -> float:
    """The memory that a step of the largest phase takes in float32 in one process, by network, batch and crop."""
    model: Any = config.model
    parts: list[DataConfig | Phase] = [config.data, *config.phases]
    pixels = max((one.batch or config.data.batch) * (one.crop or config.data.crop) ** 2 for one in parts)
    if model.architecture != "cmmdl":
        return BASE + pixels * (LOSS + SMALL * model.width)
    blocks = 1 if config.run.checkpointing else model.blocks
    return BASE + pixels * (LOSS + model.width * (PARTS + BLOCK * blocks))


def memory_note(config: TrainConfig, device: torch.device, processes: int) -> str:
    """A line about the memory that a run needs and what to do if it is not there."""
    needed, free = expected_bytes(config) / processes, available_bytes(device)
    text = f"a step takes about {needed / 2**30:.1f} GiB in float32"
    if free is None or needed <= free:
        return text
    remedy = "lower data.batch or data.crop, set run.checkpointing = true, or train model.architecture = 'cmmdl-rt'"
    return f"{text}, and only {free / 2**30:.1f} GiB are free on {device}: {remedy}"


@dataclass
class Pace:
    """Times the first steps of this sitting and says once how long the rest will take.

    Attributes:
        remaining: Steps from the start of this sitting to the end.
        device: Where the run is.
    """

    remaining: int
    device: torch.device
    _begun: float = 0.0
    _done: int = field(default=0, init=False)

    def step(self) -> str:
        """Counts a step; gives the line after the last that is timed, else nothing."""
        self._done += 1
        if self._done == STEPS.start - 1:
            self._begun = time.monotonic()
        if self._done != STEPS.stop - 1 or self.remaining <= self._done:
            return ""
        seconds = (time.monotonic() - self._begun) / len(STEPS)
        left = in_words(seconds * (self.remaining - self._done))
        return f"{seconds:.2g} s a step, {left} for the {self.remaining - self._done} steps to come{_peak(self.device)}"


def in_words(seconds: float) -> str:
    """``40 s``, ``25 min``, ``3.5 h``."""
    if seconds < 120:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 7200 else f"about {seconds / 3600:.1f} h"


def _peak(device: torch.device) -> str:
    """The most memory so far, in words."""
    most = torch.cuda.max_memory_reserved(device) if device.type == "cuda" else peak_bytes()
    return f"; at most {most / 2**30:.1f} GiB of memory so far" if most else ""
