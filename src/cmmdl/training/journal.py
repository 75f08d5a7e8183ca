"""What a run tells while it goes: a progress bar, a line a log interval in ``log.jsonl``, TensorBoard."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from cmmdl.errors import UserError
from cmmdl.files.atomic import write_bytes


class Journal:
    """The visible side of a run. On all but the main process it does nothing.

    Args:
        folder: Run folder; ``log.jsonl`` and the TensorBoard events go there.
        first_step: Steps already done; later entries of an interrupted run are hidden from there on.
        pairs: Pairs taken by those steps, and by all steps of the run.
        active: Whether this is the main process.

    Raises:
        UserError: If TensorBoard is not installed.
    """

    def __init__(self, folder: Path, first_step: int, pairs: tuple[int, int], *, active: bool) -> None:
        self.active, self.log = active, folder / "log.jsonl"
        self.bar = tqdm(
            total=pairs[1], initial=pairs[0], unit="pair", disable=not active, dynamic_ncols=True,
            mininterval=0.5 if sys.stderr.isatty() else 30.0, desc=folder.name, smoothing=0.05,
        )  # fmt: skip
        if not active:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError('TensorBoard is not installed: pip install "cmmdl[train]"') from None
        self.board = SummaryWriter(str(folder), purge_step=first_step + 1)
        forget_after(self.log, first_step)

    def advance(self, loss: float, pairs: int) -> None:
        """One step of so many pairs is done."""
        self.bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
        self.bar.update(pairs)

    def scalars(self, group: str, step: int, values: dict[str, float]) -> None:
        """Write numbers of one step, as ``group/name`` in TensorBoard and as one line of ``log.jsonl``."""
        if not self.active:
            return
        for name, value in values.items():
            self.board.add_scalar(f"{group}/{name}", value, step)
        rounded = {name: float(f"{value:.6g}") for name, value in values.items()}
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "kind": group, **rounded}) + "\n")

    def pictures(self, step: int, images: list[Tensor]) -> None:
        """Show pictures ``(1, H, W)`` in [0, 1] in TensorBoard."""
        for n, image in enumerate(images if self.active else []):
            self.board.add_image(f"sample/{n}", image, step)

    def note(self, text: str) -> None:
        """A line above the progress bar."""
        if self.active:
            self.bar.write(text, file=sys.stderr)

    def close(self) -> None:
        """Flush everything."""
        self.bar.close()
        if self.active:
            self.board.close()


def forget_after(log: Path, step: int) -> None:
    """Drop the lines of a log that a killed run wrote after its last checkpoint: those steps are done again."""
    if log.exists():
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        kept = [line for line in lines if _step_of(line) <= step]
        write_bytes(log, "".join(kept).encode())


def _step_of(line: str) -> float:
    """The step of a line of the log; infinity for a line that was cut or damaged, so that it is dropped."""
    try:
        return float(json.loads(line)["step"]) if line.endswith("\n") else math.inf
    except (ValueError, TypeError, KeyError):
        return math.inf
