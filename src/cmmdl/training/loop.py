"""The training loop: from a configuration to weights, in one sitting.

Everything that a step does is a function of the state before it and of its number: the crops, the learning rate, the
loss weights, the random seed. So a checkpoint is the parameters, the optimiser's moments, the running average and the
number of steps, and a run that was killed ends with the same bits as one that was not.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list, gather_object
from torch import nn
from torch.utils.data import DataLoader

from cmmdl.errors import UserError
from cmmdl.training.batchnorm import use_global_statistics
from cmmdl.training.checkpoint import (
    newest_checkpoint,
    open_folder,
    refuse_changes,
    refuse_other_ranges,
    save_checkpoint,
)
from cmmdl.training.checkpointing import recompute_blocks
from cmmdl.training.checks import check_scored_pictures, fingerprints, refuse_other_network, refuse_other_pairs
from cmmdl.training.config import TrainConfig
from cmmdl.training.data import Crops, short_list
from cmmdl.training.ends import MeanOfEnds
from cmmdl.training.estimate import Pace, memory_note
from cmmdl.training.graph import RecordedStep
from cmmdl.training.journal import Journal
from cmmdl.training.optim import (
    RunningAverage,
    make_optimizer,
    restore_state,
    set_learning_rate,
    start_over,
    state_by_name,
)
from cmmdl.training.schedule import (
    batch_numbers,
    drawn_before,
    loss_weights,
    rate_at,
    restarts,
    shares_at_ends,
    steps_since_restart,
)
from cmmdl.training.setup import build_network, load_teacher, make_accelerator
from cmmdl.training.signals import StopSignal, ignore_interrupts
from cmmdl.training.step import Numbers, Step
from cmmdl.training.validation import fuse, pictures, score, validation_pairs
from cmmdl.weights.saving import save_model

Batch = dict[str, Any]

PICTURES = "ir", "vis", "mask", "counts"
"""What a step takes of a batch."""


@dataclass(frozen=True)
class TrainingOutcome:
    """How a call of `train` ended: steps done, whether those are all, the signal that stopped it, the weights.

    ``ends`` are the steps whose weights these are the mean of, empty for the running average. ``main`` is true in one
    process of several: the one that wrote them.
    """

    step: int
    finished: bool
    signal: int
    weights: Path
    ends: tuple[int, ...] = ()
    main: bool = True


class Training:
    """One run: what changes from step to step, and what is done with it.

    Args:
        config: The settings.
        accept_changes: Continue a run although its settings differ from those that it was begun with.

    Raises:
        UserError: For bad folders, pictures, settings, or weights.
    """

    def __init__(self, config: TrainConfig, *, accept_changes: bool = False) -> None:
        self.accelerator = make_accelerator(config)
        self.main, self.device = self.accelerator.is_main_process, self.accelerator.device
        self.folder = config.run.folder
        saved = self.open_run()
        self.config, network = build_network(config, saved)
        if saved and not accept_changes:
            refuse_changes(self.config, saved["config"], self.folder)
        if saved:
            refuse_other_network(self.config, saved, self.folder)
        if self.config.run.checkpointing:
            recompute_blocks(network)
        if self.accelerator.num_processes > 1:
            use_global_statistics(network)
        self.network = network.to(self.device).train()
        self.teacher = load_teacher(self.config, self.device)
        self.average = RunningAverage(self.network, self.config.optim.ema)
        optimizer = make_optimizer(self.network.parameters(), self.config.optim)
        self.ends = MeanOfEnds(shares_at_ends(self.config))
        self.mean_scores: dict[str, float] | None = None
        self.step, self.best = 0, -math.inf
        if saved:
            self.step, self.best = saved["step"], saved["best"]
            self.network.load_state_dict(saved["model"])
            self.average.module.load_state_dict(saved["average"])
            restore_state(optimizer, self.network, saved["optimizer"])
            self.ends.restore(saved.get("ends"), self.step, self.folder)
        self.model, self.optimizer = self.accelerator.prepare(self.network, optimizer)
        self.take_step = self.make_step()
        self.crops = Crops(self.config.data, self.config.run.seed)
        if saved and not accept_changes:
            refuse_other_ranges(self.crops.ranges, saved.get("ranges"), self.folder)
            refuse_other_pairs(fingerprints(self.crops.pairs), saved.get("pairs"), self.folder)
        self.validation = validation_pairs(self.config.val)
        check_scored_pictures(self.validation, self.config.val.crop)
        self.saved_at, self.last_saved, self.whole = time.monotonic(), self.step, True

    def open_run(self) -> dict[str, Any] | None:
        """What the main process finds in the run's folder, told to all: its newest checkpoint or nothing."""
        found: list[dict[str, Any] | str | None] = [None]
        if self.main:
            try:
                open_folder(self.folder)
                found = [newest_checkpoint(self.folder)]
            except UserError as error:  # told to all: who waits for the others would wait for ever
                found = [str(error)]
        told = broadcast_object_list(found)[0]
        if isinstance(told, str):
            raise UserError(told)
        return told

    def batches(self) -> DataLoader[Batch]:
        """This process's share of every batch from the present step on."""
        accelerator = self.accelerator
        numbers = batch_numbers(self.config, self.step, accelerator.process_index, accelerator.num_processes)
        return DataLoader(
            self.crops, batch_sampler=numbers, num_workers=self.config.data.workers,
            pin_memory=self.device.type == "cuda", worker_init_fn=ignore_interrupts, generator=torch.Generator(),
            persistent_workers=False,
        )  # fmt: skip

    def make_step(self) -> Step | RecordedStep:
        """The work of one step, recorded if one process trains on a CUDA device."""
        config, accelerator = self.config, self.accelerator
        step = Step(
            self.model, self.network, self.optimizer.optimizer, self.average, config.loss, config.optim.clip,
            accelerator.backward,
        )  # fmt: skip
        recorded = self.device.type == "cuda" and accelerator.num_processes == 1 and config.run.graph == "auto"
        return RecordedStep(step) if recorded else step

    def optimise(self, batch: Batch) -> dict[str, float]:
        """One step of the optimiser; gives the numbers worth logging. Waits for the device once.

        Raises:
            UserError: If the loss or the gradient is not finite, naming the crops. The parameters are untouched.
        """
        config = self.config
        torch.manual_seed(config.run.seed * 1_000_003 + self.step * 1_009 + self.accelerator.process_index)
        pictures = {name: batch[name].to(self.device, non_blocking=True) for name in PICTURES}
        if self.teacher is not None:
            with torch.no_grad():
                pictures["by"] = self.teacher(pictures["ir"], pictures["vis"])
        if self.step in restarts(config):
            start_over(self.network, self.optimizer.optimizer, self.average)
        rate = rate_at(config, self.step)
        set_learning_rate(self.optimizer, rate)
        self.average.prepare(steps_since_restart(config, self.step))
        numbers = self.take_step(pictures, loss_weights(config, self.step))
        losses, values = self.read(numbers)
        self.refuse_nonfinite(bool(values.pop("healthy")), losses, batch["name"])
        self.step += 1
        self.ends.take(self.step, self.average.module)
        return self.report(values) | {"lr": rate}

    def read(self, numbers: Numbers) -> tuple[list[float], dict[str, float]]:
        """A step's numbers on the host, in one transfer: the loss of each picture, and all else by name."""
        names = [name for name in numbers if name != "losses"]
        scalars = torch.stack([numbers[name].float() for name in names])
        values = torch.cat([numbers["losses"], scalars]).tolist()
        return values[: -len(names)], dict(zip(names, values[-len(names) :], strict=True))

    def report(self, values: dict[str, float]) -> dict[str, float]:
        """Numbers of a step: of this process's share or, when they are logged, means over all processes."""
        if self.accelerator.num_processes == 1 or not self.due(self.config.run.log_every):
            return values
        means = self.accelerator.reduce(torch.tensor([*values.values()], device=self.device), "mean").tolist()
        return dict(zip(values, means, strict=True))

    def refuse_nonfinite(self, healthy: bool, losses: list[float], names: list[str]) -> None:
        """Stop all processes if a step spoilt nothing but was not finite."""
        if self.agreed(healthy):
            return
        culprits = [name for name, loss in zip(names, losses, strict=True) if not math.isfinite(loss)]
        guilty, everyone = gather_object(culprits), gather_object(names)
        raise UserError(
            f"step {self.step}: the {'loss' if guilty else 'gradient'} is not finite; "
            f"the crops were {short_list(guilty or everyone, 16)}. "
            f"The last good checkpoint is kept in {self.folder}: look at these pictures or lower optim.lr"
        )

    def agreed(self, yes: bool) -> bool:
        """Whether every process says yes."""
        if self.accelerator.num_processes == 1:
            return yes
        votes = torch.tensor([int(yes)], device=self.device)
        return bool(self.accelerator.reduce(votes, "sum").item() == self.accelerator.num_processes)

    def validate(self, journal: Journal) -> None:
        """Score the averaged weights, keep them if they are the best so far; then the mean. Main process alone."""
        if not self.validation or not self.main:
            return
        numbers = self.judge(journal, "val", f"step {self.step}", self.averaged())
        if numbers["total"] > self.best:
            self.best = numbers["total"]
            self.write_weights("best.safetensors", self.averaged(), numbers)
        if self.ends.complete:
            steps = ", ".join(map(str, self.ends.taken))
            self.mean_scores = self.judge(journal, "mean", f"mean of steps {steps}", self.shipped())

    def judge(self, journal: Journal, group: str, of: str, network: nn.Module) -> dict[str, float]:
        """The scores of weights on the validation pairs, logged as a group and noted."""
        numbers = score(network, self.validation, self.config.val.crop, self.device)
        journal.scalars(group, self.step, numbers)
        journal.note(f"{of}: " + " ".join(f"{name} {value:.3f}" for name, value in numbers.items()))
        return numbers

    def show(self, journal: Journal) -> None:
        """Fused sample pictures beside their sources: validation pairs, else the first crops."""
        if not self.main:
            return
        shown = [pictures(pair, 384, self.device) for pair in self.validation[:4]]
        for crop in (self.crops[n] for n in range(0 if shown else 4)):
            shown.append((crop["ir"][None].to(self.device), crop["vis"][None].to(self.device)))
        model = self.averaged()
        journal.pictures(self.step, [torch.cat([ir, vis, fuse(model, ir, vis)], 3)[0].cpu() for ir, vis in shown])

    def attend(self, journal: Journal, numbers: dict[str, float], pace: str) -> None:
        """What happens between the steps: logs, scores, samples, checkpoints.

        Raises:
            UserError: If something cannot be written or scored.
        """
        run = self.config.run
        if pace:
            journal.note(f"note: {pace}")
        if self.due(run.log_every):
            journal.scalars("train", self.step, numbers)
        if self.due(self.config.val.every):
            self.validate(journal)
        if self.due(run.samples_every):
            self.show(journal)
        overdue = run.save_minutes and time.monotonic() - self.saved_at > 60 * run.save_minutes
        if self.due(run.save_every) or overdue:
            self.save()

    def save_whole_steps(self) -> None:
        """Save however the run ends, unless an error struck within a step: the last checkpoint before it is better.

        Raises:
            UserError: If it cannot be written.
        """
        if self.whole:
            self.save()

    def averaged(self) -> nn.Module:
        """The weights to judge: the running average, or the present ones if there is none."""
        return self.average.module.eval()

    def shipped(self) -> nn.Module:
        """The weights to ship: the mean of those at the ends of phases, if these have shares and all are in."""
        return self.ends.mean(self.averaged()) if self.ends.complete else self.averaged()

    def save(self) -> None:
        """Write a checkpoint. Main process only."""
        if self.main and self.last_saved != self.step:
            state = {
                "step": self.step, "best": self.best, "config": self.config.model_dump(mode="json"),
                "model": self.network.state_dict(), "average": self.average.module.state_dict(),
                "optimizer": state_by_name(self.optimizer.optimizer, self.network), "ranges": self.crops.ranges,
                "pairs": fingerprints(self.crops.pairs), "ends": self.ends.state(),
            }  # fmt: skip
            save_checkpoint(self.folder, state, self.config.run.keep)
        self.saved_at, self.last_saved = time.monotonic(), self.step

    def write_weights(self, name: str, network: nn.Module, scores: dict[str, float] | None = None) -> Path:
        """Weights as safetensors, with the settings and scores in the metadata."""
        metadata = {"training": self.config.model_dump_json(exclude={"run": {"folder"}}), "step": str(self.step)}
        if scores:
            metadata["scores"] = json.dumps({name: round(value, 4) for name, value in scores.items()})
        save_model(network, self.folder / name, metadata)
        return self.folder / name

    def due(self, every: int) -> bool:
        """Whether something that happens every so many steps, and at the end, happens now."""
        return self.step % every == 0 or self.step == self.config.run.last_step


def train(config: TrainConfig, *, accept_changes: bool = False) -> TrainingOutcome:
    """Train, or continue, the run in ``config.run.folder``.

    Args:
        config: The settings.
        accept_changes: Continue although the settings differ from those that the run was begun with.

    Returns:
        How far it got: SIGINT and SIGTERM save a checkpoint and end it early.

    Raises:
        UserError: For anything the user can put right; also when the loss or gradient is not finite.
    """
    training = Training(config, accept_changes=accept_changes)
    run, stop = training.config.run, StopSignal()
    pace = Pace(run.last_step - training.step, training.device)
    pairs = drawn_before(training.config, training.step), drawn_before(training.config, run.last_step)
    journal = Journal(run.folder, training.step, pairs, active=training.main)
    for note in training.crops.notes:
        journal.note(f"note: {note}")
    journal.note(f"note: {memory_note(training.config, training.device, training.accelerator.num_processes)}")
    trouble: UserError | None = None
    try:
        for batch in training.batches():
            training.whole = False
            numbers = training.optimise(batch)
            training.whole = True
            journal.advance(numbers["loss"], training.accelerator.num_processes * len(batch["name"]))
            try:  # what the main process does alone; its failure is told to the others below
                training.attend(journal, numbers, pace.step())
            except UserError as error:
                trouble = error
            if not training.agreed(stop.received == 0 and trouble is None):
                break
    except UserError as error:  # one from a process that prepares crops comes with that process's traceback
        trouble = UserError(str(error).splitlines()[-1].removeprefix("cmmdl.errors.UserError: "))
    finally:
        journal.close()
        stop.restore()
        try:
            training.save_whole_steps()
        except UserError as error:
            trouble = trouble or error
    if trouble:
        raise trouble
    finished = training.step == run.last_step
    weights = run.folder / "last.safetensors"
    if finished and training.main:
        training.write_weights(weights.name, training.shipped(), training.mean_scores)
    training.accelerator.wait_for_everyone()
    training.accelerator.end_training()
    ends = tuple(training.ends.taken) if training.ends.complete else ()
    return TrainingOutcome(training.step, finished, stop.received, weights, ends, training.main)
