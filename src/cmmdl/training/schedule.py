"""What each step of a run is made of: a pure function of its number, so that nothing of it needs saving."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cmmdl.training.config import TrainConfig
from cmmdl.training.losses import blend
from cmmdl.training.optim import learning_rate

Numbered = tuple[int, int]
"""The number of a crop and its side in pixels."""


@dataclass(frozen=True)
class Stage:
    """A stretch of steps that are alike: from where on, the crops drawn before, and what a step takes."""

    start: int
    drawn: int
    crop: int
    batch: int
    terms: dict[str, float]


def stages(config: TrainConfig) -> list[Stage]:
    """The run's stretches: that of the tables, then one a phase."""
    data = config.data
    made = [Stage(0, 0, data.crop, data.batch, config.loss.terms)]
    for phase in config.phases:
        last = made[-1]
        drawn = last.drawn + (phase.start - last.start) * last.batch
        made.append(
            Stage(phase.start, drawn, phase.crop or last.crop, phase.batch or last.batch, phase.terms or last.terms)
        )
    return made


def stage_at(config: TrainConfig, step: int) -> Stage:
    """The stretch that step ``step``, from 0, belongs to."""
    return next(stage for stage in reversed(stages(config)) if stage.start <= step)


def drawn_before(config: TrainConfig, step: int) -> int:
    """How many crops all steps before ``step`` take."""
    stage = stage_at(config, step)
    return stage.drawn + (step - stage.start) * stage.batch


def loss_weights(config: TrainConfig, step: int) -> dict[str, float]:
    """The weights of the loss terms at step ``step``; those of 0 are left out."""
    loss, since = config.loss, step - config.loss.hold
    share = since / loss.blend if 0 <= since < loss.blend else float(since >= 0)
    weights = blend(loss.start, stage_at(config, step).terms, share)
    return {name: weight for name, weight in weights.items() if weight}


def restarts(config: TrainConfig) -> list[int]:
    """The steps before which the run starts over from its running average."""
    return [phase.start for phase in config.phases if phase.restart]


def steps_since_restart(config: TrainConfig, step: int) -> int:
    """How many steps before ``step`` were taken since the last restart, or since the beginning."""
    return step - max((start for start in restarts(config) if start <= step), default=0)


def rate_at(config: TrainConfig, step: int) -> float:
    """The learning rate of step ``step``, from 0: its schedule is spread over the steps between two restarts."""
    begun = step - steps_since_restart(config, step)
    end = min((start for start in restarts(config) if start > step), default=config.run.steps)
    restart = next((phase.restart for phase in config.phases if phase.start == begun), None)
    optim = config.optim.model_copy(update=restart.model_dump()) if restart else config.optim
    return learning_rate(optim, step - begun, min(end, config.run.steps) - begun)


def shares_at_ends(config: TrainConfig) -> dict[int, float]:
    """Step count at the end of each phase that has a share in the shipped weights, and that share."""
    steps = config.run.steps
    ends = [min(phase.start, steps) for phase in config.phases[1:]] + [steps]
    return {end: phase.share for phase, end in zip(config.phases, ends, strict=False) if phase.share}


def batch_numbers(config: TrainConfig, first_step: int, rank: int, processes: int) -> Iterator[list[Numbered]]:
    """The crops that one process takes in each step from ``first_step`` on: its equal share of the global batch."""
    for step in range(first_step, config.run.last_step):
        stage = stage_at(config, step)
        share = stage.batch // processes
        start = drawn_before(config, step) + rank * share
        yield [(number, stage.crop) for number in range(start, start + share)]
