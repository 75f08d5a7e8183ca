"""What a run leaves on disk, so that it can be killed at any moment: checkpoints, written whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from cmmdl.errors import UserError
from cmmdl.files.atomic import remove_stale, write_bytes
from cmmdl.training.config import TrainConfig, changed_keys
from cmmdl.training.configfile import validate

FORMAT = 1


def open_folder(folder: Path) -> None:
    """Make the run's folder and clear what a killed run left half written.

    Raises:
        UserError: If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be created ({error.strerror}): choose another run folder with -o") from None
    remove_stale(folder)


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint after ``step`` steps lies."""
    return folder / f"checkpoint-{step:08d}.pt"


def save_checkpoint(folder: Path, state: dict[str, Any], keep: int) -> Path:
    """Write ``state`` (with its ``step``) and delete all but the newest ``keep`` checkpoints."""
    path, buffer = checkpoint_path(folder, state["step"]), io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    write_bytes(path, buffer.getvalue())
    for old in sorted(folder.glob("checkpoint-*.pt"))[:-keep]:
        old.unlink()
    return path


def newest_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest readable checkpoint of a run, tensors on the CPU; None if the run has not begun.

    Raises:
        UserError: If there are checkpoints but none can be read.
    """
    paths = sorted(folder.glob("checkpoint-*.pt"), reverse=True)
    for path in paths:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception:  # damaged files make the unpickler raise anything
            continue
        if isinstance(state, dict) and state.get("format") == FORMAT:
            return dict(state)
    if paths:
        raise UserError(f"{folder}: none of its checkpoints can be read: delete them, or choose another run folder")
    return None


def refuse_changes(config: TrainConfig, saved: dict[str, Any], folder: Path) -> None:
    """Stop if a run is continued with settings that would change its weights.

    Raises:
        UserError: Naming the settings.
    """
    changed = changed_keys(validate(saved, f"{folder} was begun by another version of cmmdl"), config)
    if changed:
        raise UserError(
            f"{folder}: started with different settings ({', '.join(changed)}): "
            "use another run folder (-o), or pass --accept-changes to continue with the new ones"
        )


def refuse_other_ranges(ranges: list[list[str]], saved: list[list[str]] | None, folder: Path) -> None:
    """Stop if a run is continued with other values for black and white, as files that were added can cause.

    Raises:
        UserError: Naming both ranges.
    """
    for number, (now, before) in enumerate(zip(ranges, saved or [], strict=False)):
        for side, one, other in zip(("ir_range", "vis_range"), now, before, strict=True):
            if one != other:
                raise UserError(
                    f"{folder}: begun with {side} {other} of source {number + 1}, and its pictures now give {one}: "
                    "restore them, use another run folder (-o), or pass --accept-changes to continue"
                )
