"""One step of the optimiser, as work for the device alone: nothing in it waits for a result."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cmmdl.metrics.correlation import correlation
from cmmdl.training.config import LossConfig
from cmmdl.training.losses import fusion_loss
from cmmdl.training.optim import RunningAverage

Numbers = dict[str, Tensor]
"""What a step tells: scalars on its device, by name; ``losses`` is one a picture."""


class Step:
    """Forward, loss, backward, clipping, optimiser and running average.

    Where the loss or its gradient is not finite, the optimiser leaves the parameters as they are; ``healthy`` says so.

    Args:
        model: What is called, ``model(ir, vis)``: the network, or what shares its work among processes.
        network: Whose parameters move.
        optimizer: A fused one of these parameters.
        average: Their running average.
        loss: Targets, bins and margin of the loss.
        clip: Longest gradient; 0 does not clip.
        backward: Called with the loss.
    """

    def __init__(
        self, model: nn.Module, network: nn.Module, optimizer: torch.optim.Optimizer, average: RunningAverage,
        loss: LossConfig, clip: float, backward: Callable[[Tensor], Any] = Tensor.backward,
    ) -> None:  # fmt: skip
        self.model, self.network, self.optimizer, self.average = model, network, optimizer, average
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.options: dict[str, Any] = {"targets": loss.targets, "mi_bins": loss.mi_bins, "margin": loss.margin}
        self.clip, self.backward = clip or math.inf, backward

    def __call__(self, pictures: Mapping[str, Tensor], weights: Mapping[str, Tensor | float]) -> Numbers:
        """Take the step.

        Args:
            pictures: ``ir``, ``vis`` and ``mask``, ``(B, 1, H, W)`` in [0, 1]; if terms count differently for some, the
                ``counts`` of `fusion_loss`, and if there is a teacher, what it made, ``by``.
            weights: Of each term of the loss.

        Returns:
            ``losses``, ``loss``, ``gradient_norm``, ``healthy``, each term, and the correlation with either source.
        """
        ir, vis = pictures["ir"], pictures["vis"]
        fused = self.model(ir, vis)
        by, counts = pictures.get("by"), pictures.get("counts")
        losses, terms = fusion_loss(
            fused, ir, vis, weights, mask=pictures["mask"], by=by, counts=counts, **self.options
        )
        self.optimizer.zero_grad(set_to_none=True)
        self.backward(losses.mean())
        norm = nn.utils.clip_grad_norm_(self.parameters, self.clip)
        healthy = (losses.detach().sum() + norm).isfinite()
        self.optimizer.found_inf = (~healthy).float()  # type: ignore[attr-defined]
        self.optimizer.step()
        self.average.update(self.network)
        return self._report(fused.detach(), ir, vis, losses.detach(), terms) | {
            "gradient_norm": norm,
            "healthy": healthy,
        }

    def _report(self, fused: Tensor, ir: Tensor, vis: Tensor, losses: Tensor, terms: dict[str, Tensor]) -> Numbers:
        means = {name: term.detach().mean() for name, term in terms.items()}
        means["corr_ir"] = correlation(255 * fused.float(), 255 * ir).mean()
        means["corr_vis"] = correlation(255 * fused.float(), 255 * vis).mean()
        return {"losses": losses, "loss": losses.mean(), **means}
