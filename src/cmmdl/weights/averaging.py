"""The mean of several networks' weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import nn

from cmmdl.errors import UserError
from cmmdl.models.networks import architecture_of
from cmmdl.models.weightless import parametric


def average_models(models: Sequence[nn.Module], shares: Sequence[float]) -> nn.Module:
    """The network whose every parameter is the weighted mean of theirs.

    Args:
        models: CMMDL networks of one configuration, fine-tuned from the same weights; ``border`` and ``black`` may
            differ, and are those of the first.
        shares: Of each; they add up to 1.

    Returns:
        A network of its own in eval mode.

    Raises:
        UserError: If the shares do not add up to 1, or the networks are not alike.

    Reference: Wortsman et al. Model soups: averaging weights of multiple fine-tuned models improves accuracy without
    increasing inference time. ICML 2022.
    """
    if len(models) != len(shares) or not models or abs(sum(shares) - 1) > 1e-6:
        raise UserError(
            f"shares {', '.join(f'{share:g}' for share in shares)} of {len(models)} networks: give one for each"
            "; they must add up to 1"
        )
    if architecture_of(models[0]) is None:
        raise UserError(f"{type(models[0]).__name__} has no weights to average: give CMMDL networks")
    kinds = [(type(model), parametric(vars(model.config))) for model in models]
    if any(kind != kinds[0] for kind in kinds):
        raise UserError("only networks of one architecture and configuration can be averaged")
    mean, states = copy.deepcopy(models[0]), [model.state_dict() for model in models]
    mean.load_state_dict(
        {
            name: sum(share * state[name].double() for share, state in zip(shares, states, strict=True)).to(value.dtype)
            if value.is_floating_point()
            else value
            for name, value in states[0].items()
        }
    )
    return mean.eval()
