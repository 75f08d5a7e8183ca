"""The mean of a run's weights at the ends of its phases."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from cmmdl.errors import UserError


class MeanOfEnds:
    """Weighted sum of the running averages at some steps, taken while the run goes by.

    Args:
        shares: The share of the average after so many steps; they add up to 1. Empty: there is no mean.

    Reference: Huang et al. Snapshot Ensembles: Train 1, get M for free. ICLR 2017; with the mean of the weights in the
    place of the ensemble, Izmailov et al. Averaging Weights Leads to Wider Optima and Better Generalization. UAI 2018.
    """

    def __init__(self, shares: dict[int, float]) -> None:
        self.shares = shares
        self.taken: dict[int, float] = {}
        self.sum: dict[str, Tensor] = {}

    def take(self, step: int, average: nn.Module) -> None:
        """Add the weights after ``step`` steps if they have a share. Sums are float64 on the CPU."""
        if (share := self.shares.get(step)) is None:
            return
        for name, value in average.state_dict().items():
            if value.is_floating_point():
                part = share * value.detach().double().cpu()
                self.sum[name] = self.sum[name] + part if name in self.sum else part
        self.taken[step] = share

    @property
    def complete(self) -> bool:
        """Whether there is a mean and every share of it was taken."""
        return bool(self.shares) and self.taken == self.shares

    def mean(self, average: nn.Module) -> nn.Module:
        """A network like ``average`` with the mean's weights, in eval mode; counters are those of ``average``."""
        network = copy.deepcopy(average)
        network.load_state_dict(
            {name: self.sum.get(name, value).to(value.dtype) for name, value in average.state_dict().items()}
        )
        return network.eval()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"taken": self.taken, "sum": self.sum}

    def restore(self, saved: dict[str, Any] | None, step: int, folder: Path) -> None:
        """Go on after ``step`` steps with what a checkpoint kept; None from one that knows no shares.

        Raises:
            UserError: If it lacks weights that have a share, or holds others: those of a past step cannot be had again.
        """
        if not self.shares:
            return
        saved = saved or {"taken": {}, "sum": {}}
        due = {end: share for end, share in self.shares.items() if end <= step}
        if saved["taken"] != due:
            steps = ", ".join(map(str, sorted({end for end, _ in saved["taken"].items() ^ due.items()})))
            raise UserError(
                f"{folder}: by now, after {step} steps, the mean would hold other weights or shares (step {steps}): "
                "restore the ends and shares of phases, take all shares out, or use another run folder (-o)"
            )
        self.taken, self.sum = saved["taken"], saved["sum"]
