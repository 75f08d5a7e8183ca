"""What is looked at before the first step, so that nothing is lost at the first scoring or the next start."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cmmdl.errors import UserError
from cmmdl.models.weightless import parametric
from cmmdl.training.config import VIF_SIDE, TrainConfig
from cmmdl.training.data import TrainingPair


def fingerprints(sources: Sequence[Sequence[TrainingPair]]) -> list[str]:
    """A hash of each source's pairs, by their names and whether they have masks: on them the crops depend."""
    texts = ("\n".join(f"{pair.name}\t{pair.mask is not None}" for pair in pairs) for pairs in sources)
    return [hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest() for text in texts]


def refuse_other_pairs(now: list[str], saved: list[str] | None, folder: Path) -> None:
    """Stop if a run is continued with other pairs: files were added or removed, or a list of stems was edited.

    Raises:
        UserError: Naming the sources.
    """
    if saved is None or saved == now:  # runs of earlier versions have no fingerprints
        return
    other = [str(n + 1) for n, (one, two) in enumerate(zip(now, saved, strict=False)) if one != two]
    which = f"source {', '.join(other)}" if other else "its sources"
    raise UserError(
        f"{folder}: begun with other pairs in {which}: restore the files and lists of stems, use another run folder "
        "(-o), or pass --accept-changes to continue with these"
    )


def refuse_other_network(config: TrainConfig, saved: dict[str, Any], folder: Path) -> None:
    """Stop if a run is continued with a network that its weights do not fit.

    Raises:
        UserError: Naming the settings.
    """
    before, now = parametric(saved["config"]["model"]), parametric(config.model.model_dump())
    changed = [f"model.{name}" for name in {**before, **now} if before.get(name) != now.get(name)]
    if changed:
        raise UserError(
            f"{folder}: its weights belong to another network ({', '.join(changed)}), which no option changes: use "
            "another run folder (-o)"
        )


def check_scored_pictures(pairs: Sequence[TrainingPair], crop: int) -> None:
    """Refuses pictures that are too small for the metrics that score them.

    Raises:
        UserError: Naming the first.
    """
    for pair in pairs:
        height, width = (min(side, crop or side) for side in pair.load().shape[1:])
        if min(height, width) < VIF_SIDE:
            raise UserError(
                f"{pair.vis}: {width}x{height} is too small to score, VIF needs {VIF_SIDE} pixels a side: leave it out "
                "with val.only, or raise val.crop"
            )
