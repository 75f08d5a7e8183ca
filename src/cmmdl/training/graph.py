"""A training step recorded as a CUDA graph.

A step of a few small crops is thousands of small kernels, each faster than its launch. A graph launches them all at
once. What changes from step to step lies in tensors that stay where they are: crops, loss weights, the learning rate
and the share of the running average.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from cmmdl.training.step import Numbers, Step

FIRST = 3
"""Steps of each size taken one kernel at a time before one is recorded: libraries choose and prepare their kernels."""


def fastest_convolutions() -> AbstractContextManager[None]:
    """CuDNN tries its kernels on the first steps of a size: worth it where thousands of the same size follow."""
    cudnn = torch.backends.cudnn
    return cudnn.flags(
        enabled=cudnn.enabled, benchmark=True, deterministic=cudnn.deterministic, allow_tf32=cudnn.allow_tf32
    )  # type: ignore[no-any-return]


class RecordedStep:
    """Takes a `Step`'s steps, the first few of each size plainly, the others by replaying a recording.

    Args:
        step: Of a network on a CUDA device, of one process.
    """

    def __init__(self, step: Step) -> None:
        self.step, self.stream = step, torch.cuda.Stream()
        self.kind: object = None
        self.pictures: dict[str, Tensor] = {}
        self.weights: dict[str, Tensor] = {}
        self.plain, self.graph, self.numbers = 0, None, {}  # type: int, torch.cuda.CUDAGraph | None, Numbers

    def __call__(self, pictures: Mapping[str, Tensor], weights: Mapping[str, float]) -> Numbers:
        """As a `Step`; the numbers are overwritten by the next call."""
        self._take(pictures, weights)
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            self._advance()
        torch.cuda.current_stream().wait_stream(self.stream)
        return self.numbers

    def _advance(self) -> None:
        if self.plain < FIRST:
            self.plain += 1
            with fastest_convolutions():
                self.numbers = self.step(self.pictures, self.weights)
            return
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            recording = torch.cuda.graph(self.graph, stream=self.stream, capture_error_mode="thread_local")
            with fastest_convolutions(), recording:
                self.numbers = self.step(self.pictures, self.weights)
        self.graph.replay()

    def _take(self, pictures: Mapping[str, Tensor], weights: Mapping[str, float]) -> None:
        """Copy what changes to where the recording looks for it; another size or other terms begin anew."""
        kind = pictures["ir"].shape, tuple(weights)
        if kind != self.kind:
            self.kind, self.plain, self.graph = kind, 0, None
            self.pictures = {name: torch.empty_like(picture) for name, picture in pictures.items()}
            device = self.pictures["ir"].device
            self.weights = {name: torch.zeros((), device=device) for name in weights}
        for name, picture in self.pictures.items():
            picture.copy_(pictures[name], non_blocking=True)
        for name, weight in self.weights.items():
            weight.fill_(weights[name])
