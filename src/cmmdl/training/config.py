"""The settings of a run: typed, with defaults, wrong names refused with a suggestion."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, create_model, model_validator

from cmmdl.files.ranges import parse_range
from cmmdl.models.cmmdl import CMMDLConfig
from cmmdl.models.networks import NETWORKS
from cmmdl.models.rt import CMMDLRTConfig
from cmmdl.models.weightless import WEIGHTLESS
from cmmdl.training.losses import BRIGHTNESS, FINE, SPREAD, TAUGHT, TERMS

AtLeast0 = Annotated[int, Field(ge=0)]
AtLeast1 = Annotated[int, Field(ge=1)]
Above0 = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]

VIF_SIDE = 41
"""The smallest picture that VIF is defined on: its windows and halvings leave one pixel."""


class Section(BaseModel):
    """A table of the configuration: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def did_you_mean(key: str, names: tuple[str, ...]) -> str:
    """``, did you mean …?`` by the whole key or by its last part, of several with that part the least nested."""
    near = difflib.get_close_matches(key, names, 1, 0.7)
    last = {name.rsplit(".", 1)[-1]: name for name in sorted(names, key=lambda name: -name.count("."))}
    near = near or [last[n] for n in difflib.get_close_matches(key.rsplit(".", 1)[-1], list(last), 1, 0.6)]
    return f"; did you mean {near[0]!r}?" if near else ""


Keys = TypeVar("Keys", bound=Iterable[str])


def _known(names: tuple[str, ...]) -> AfterValidator:
    """Refuses keys outside ``names``, naming the nearest."""

    def check(keys: Keys) -> Keys:
        for key in keys:
            if key not in names:
                raise ValueError(f"no term {key!r}{did_you_mean(key, names)}")
        return keys

    return AfterValidator(check)


def _share_is_a_share(targets: dict[str, float]) -> dict[str, float]:
    """Refuses a share of the way to the brighter source that is none."""
    if not 0 <= targets.get(BRIGHTNESS, 1.0) <= 1:
        raise ValueError(f"{BRIGHTNESS} must be from 0 to 1, not {targets[BRIGHTNESS]:g}")
    return targets


TermNames = Annotated[tuple[str, ...], _known(TERMS)]
Weights = Annotated[dict[str, float], _known(TERMS)]
Factors = Annotated[dict[str, NotNegative], _known(TERMS)]


class Source(Section):
    """Two folders of pictures, paired by their names.

    Attributes:
        ir: Infrared (or MRI) pictures.
        vis: Visible (or CT, PET, SPECT) pictures.
        mask: Saliency masks by the same stems, white where infrared matters; optional.
        leave_out: Text file with a file stem a line: pairs that are kept for validation; optional.
        weight: Chance of this source relative to the others.
        ir_name: Names of infrared files, such as ``IR_*``; the star is what the names of a pair share. Without it usual
            marks are found.
        vis_name: The same of visible files.
        recursive: Pair the folders below as well, each with that of the same name.
        ir_range: Which values of infrared pictures mean black and white: ``LOW:HIGH``, percentages ``1%:99%``, ``auto``
            (what all pictures of this source together span, where that is less than half of their type), ``each``
            (``auto`` for each picture) or ``type``.
        vis_range: The same of visible pictures; by default ``type``, with a note where they hardly use it.
        without: Terms of the loss that do not count for crops of this source, such as ``en`` for drawn skies that are
            to be as plain as they are.
        factors: How much single terms count for crops of this source beside their weight, instead of 1.
    """

    ir: Path
    vis: Path
    mask: Path | None = None
    leave_out: Path | None = None
    weight: Above0 = 1.0
    ir_name: str = ""
    vis_name: str = ""
    recursive: bool = False
    ir_range: str = "auto"
    vis_range: str | None = None
    without: TermNames = ()
    factors: Factors = {}

    @model_validator(mode="after")
    def _ranges_are_ranges(self) -> Source:
        parse_range(self.ir_range, "ir")
        parse_range(self.vis_range, "vis")
        return self


Targets = Annotated[dict[str, float], _known((*SPREAD, FINE, BRIGHTNESS)), AfterValidator(_share_is_a_share)]


def _is_device(name: str) -> str:
    """Refuses what is no name of a device; whether it is there is seen when the run starts."""
    if not re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d+)?", name):
        raise ValueError(f"{name!r} is not a device; write auto, cpu, cuda, cuda:1, mps or xpu")
    return name


Device = Annotated[str, AfterValidator(_is_device)]


class DataConfig(Section):
    """What is trained on.

    Attributes:
        sources: Folders of pairs.
        crop: Side of a crop in pixels.
        batch: Crops a step, over all processes.
        scale: Crops are shown enlarged by a factor drawn from this range.
        flip: Whether crops are mirrored at random.
        rotate: Whether crops are turned by multiples of 90 degrees at random.
        recombine: Share of crops with the visible picture of another pair of the same source, if it has another: what
            one picture shows then says nothing about the other.
        jitter: Strength of a random gamma for each source; 0 is off.
        min_contrast: Crops whose 10th and 90th percentile lie closer in either source are drawn again, up to ten times.
        memory_mb: Decoded pictures kept in memory, in MiB a process; the others are read when drawn.
        workers: Processes that prepare crops; 0 prepares them between the steps.
    """

    sources: tuple[Source, ...] = ()
    crop: Annotated[int, Field(ge=16)] = 128
    batch: Annotated[int, Field(ge=2)] = 8
    scale: tuple[float, float] = (0.75, 1.25)
    flip: bool = True
    rotate: bool = True
    recombine: Annotated[float, Field(ge=0, le=1)] = 0.0
    jitter: Annotated[float, Field(ge=0, le=2)] = 0.0
    min_contrast: Annotated[float, Field(ge=0, lt=1)] = 0.0
    memory_mb: AtLeast0 = 512
    workers: AtLeast0 = 0

    @model_validator(mode="after")
    def _scale_is_a_range(self) -> DataConfig:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale must be a range of positive factors, not {list(self.scale)}")
        return self


class LossConfig(Section):
    """What is trained for: see ``cmmdl.training.losses``.

    Attributes:
        terms: Weight of each term.
        teacher: Weights of the network whose results ``taught`` compares with: a name of ``cmmdl models`` or a file.
        targets: Where single metric terms stop pulling, instead of ``cmmdl.training.losses.TARGETS``; of ``brightness``
            the share of the way from infrared (or MRI) to the brighter source, by default 1, all of it.
        mi_bins: Bins of the soft histogram of ``mi``: few see the rough course of it, 256 what MI itself sees.
        margin: Outermost pixels of a crop that the metric terms leave out, see ``cmmdl.training.losses.fusion_loss``.
        start: Weights of the first steps; unused while ``hold`` and ``blend`` are 0.
        hold: Steps with ``start`` alone.
        blend: Steps in which ``start`` fades into ``terms``, after ``hold``.
    """

    terms: Weights = {name: 1.0 for name in SPREAD}
    teacher: str | None = None
    targets: Targets = {}
    mi_bins: Annotated[int, Field(ge=4, le=256)] = 32
    margin: AtLeast0 = 0
    start: Weights = {"intensity": 10.0, "gradient_signed": 5.0}
    hold: AtLeast0 = 0
    blend: AtLeast0 = 0


class Restart(Section):
    """A warm restart (Loshchilov and Hutter, SGDR, ICLR 2017), from the running average.

    The network takes the averaged weights, the optimiser forgets its moments, the average and the schedule begin anew;
    the schedule is spread over the steps to the next restart or to the end.

    Attributes:
        lr: As ``optim.lr``.
        warmup: As ``optim.warmup``.
    """

    lr: Above0
    warmup: AtLeast0 = 0


class Phase(Section):
    """A later part of the run. What it leaves out stays as it was.

    Attributes:
        start: The step, from 0, that it begins with.
        crop: As ``data.crop``.
        batch: As ``data.batch``.
        terms: As ``loss.terms``, all of them.
        restart: Begins with a warm restart; without it the learning rate runs on.
        share: Of the running average at this phase's end in the weights that the run ships. If no phase has one,
            those are the average at the end of the run; else all shares add up to 1. What comes before the first phase
            has none.
    """

    start: AtLeast1
    crop: Annotated[int, Field(ge=16)] | None = None
    batch: Annotated[int, Field(ge=2)] | None = None
    terms: Weights | None = None
    restart: Restart | None = None
    share: NotNegative = 0.0


class OptimConfig(Section):
    """How the parameters move.

    Attributes:
        algorithm: ``adam`` or ``adamw``.
        lr: Highest learning rate.
        betas: Decay of the two moments.
        weight_decay: Of ``adamw``.
        schedule: ``cosine`` falls from ``lr`` to ``floor``; ``halving`` halves every ``halve_every`` steps down to
            ``floor``; ``constant`` stays.
        warmup: Steps in which the rate rises linearly to ``lr``.
        floor: Lowest learning rate.
        halve_every: Steps between halvings.
        clip: Longest gradient (Euclidean norm over all parameters); 0 does not clip.
        ema: Decay of the running average of the weights, which is what a run ships if no phase has a ``share``; 0 ships
            the last weights.
    """

    algorithm: Literal["adam", "adamw"] = "adamw"
    lr: Above0 = 5e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: NotNegative = 1e-4
    schedule: Literal["cosine", "halving", "constant"] = "cosine"
    warmup: AtLeast0 = 100
    floor: NotNegative = 1e-6
    halve_every: AtLeast1 = 5000
    clip: NotNegative = 1.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999

    @model_validator(mode="after")
    def _betas_are_decays(self) -> OptimConfig:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must both be at least 0 and below 1, not {list(self.betas)}")
        return self


class ValidationConfig(Section):
    """Scoring while training.

    Attributes:
        ir: Infrared pictures; without them nothing is scored.
        vis: Visible pictures.
        only: Text file with a file stem a line: the pairs to score; without it all are candidates.
        every: Steps between scorings.
        pairs: At most so many pairs, evenly spread over the sorted stems.
        crop: Larger pictures are cut to a centred square of this side; 0 takes them whole.
        ir_name: As of a source.
        vis_name: As of a source.
        recursive: As of a source.
        ir_range: As of a source.
        vis_range: As of a source.
    """

    ir: Path | None = None
    vis: Path | None = None
    only: Path | None = None
    every: AtLeast1 = 500
    pairs: AtLeast1 = 8
    crop: AtLeast0 = 0
    ir_name: str = ""
    vis_name: str = ""
    recursive: bool = False
    ir_range: str = "auto"
    vis_range: str | None = None

    @model_validator(mode="after")
    def _crop_can_be_scored(self) -> ValidationConfig:
        if 0 < self.crop < VIF_SIDE:
            raise ValueError(
                f"crop must be 0 or at least {VIF_SIDE}, the smallest that VIF is defined on, not {self.crop}"
            )
        return self


class RunConfig(Section):
    """The run itself.

    Attributes:
        folder: Where checkpoints, weights and logs go. The same command with the same folder continues.
        steps: Optimiser steps in all; the schedule of the learning rate is spread over them.
        stop_after: Stop there although the schedule is longer, as if all was done; 0 goes to the end.
        seed: Seed of the weights, the crops and everything random.
        init: Weights to start from: a name of ``cmmdl models`` or a file. The ``model`` table is then theirs,
            but for ``model.border`` and ``model.black``.
        device: ``auto`` takes the GPU where there is one, as fusing does; else ``cpu``, ``cuda:1``, ``mps``, ...
        checkpointing: Compute the full network's blocks again in the backward pass rather than keep them: less memory,
            more time, the same result.
        precision: ``auto`` is bfloat16 on GPUs that have it and float32 elsewhere.
        graph: ``auto`` records a step as a CUDA graph and replays it, where one process trains on a CUDA device: see
            ``cmmdl.training.graph``. ``off`` never does.
        threads: CPU threads; 0 leaves PyTorch's choice.
        save_every: Steps between checkpoints.
        save_minutes: Minutes between checkpoints, whichever comes first; 0 counts steps alone.
        keep: Checkpoints kept.
        log_every: Steps between logged scalars.
        samples_every: Steps between fused sample pictures.
    """

    folder: Path = Path("runs/default")
    steps: AtLeast1 = 20000
    stop_after: AtLeast0 = 0
    seed: AtLeast0 = 0
    init: str | None = None
    device: Device = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    checkpointing: bool = False
    graph: Literal["auto", "off"] = "auto"
    threads: AtLeast0 = 0
    save_every: AtLeast1 = 500
    save_minutes: NotNegative = 10.0
    keep: AtLeast1 = 2
    log_every: AtLeast1 = 10
    samples_every: AtLeast1 = 500

    @property
    def last_step(self) -> int:
        """The step after which the run is finished."""
        return min(self.steps, self.stop_after or self.steps)


def _settings_of(config: type, name: str) -> dict[str, Any]:
    """The fields of a network's configuration, and the name of its architecture."""
    hints = get_type_hints(config)
    return {"architecture": (Literal[name], name), **{f.name: (hints[f.name], f.default) for f in fields(config)}}


if TYPE_CHECKING:

    class ModelConfig(Section):
        """``architecture`` and the fields of ``cmmdl.models.cmmdl.CMMDLConfig``."""

        architecture: Literal["cmmdl"] = "cmmdl"

    class RTModelConfig(Section):
        """``architecture`` and the fields of ``cmmdl.models.rt.CMMDLRTConfig``."""

        architecture: Literal["cmmdl-rt"] = "cmmdl-rt"

else:
    ModelConfig = create_model("ModelConfig", __base__=Section, **_settings_of(CMMDLConfig, "cmmdl"))
    RTModelConfig = create_model("RTModelConfig", __base__=Section, **_settings_of(CMMDLRTConfig, "cmmdl-rt"))


def _architecture(model: Any) -> Any:
    """Which of the two a ``model`` table is; without saying so it is the full network."""
    return model.get("architecture", "cmmdl") if isinstance(model, dict) else getattr(model, "architecture", model)


AnyModelConfig = Annotated[
    Annotated[ModelConfig, Tag("cmmdl")] | Annotated[RTModelConfig, Tag("cmmdl-rt")], Discriminator(_architecture)
]


class TrainConfig(Section):
    """Everything that ``cmmdl train`` can be told; one attribute a table of the TOML file.

    ``phases`` is a list of tables, ``[[phases]]``: later parts of the run, in order.
    """

    data: DataConfig = DataConfig()
    model: AnyModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    val: ValidationConfig = ValidationConfig()
    run: RunConfig = RunConfig()
    phases: tuple[Phase, ...] = ()

    @model_validator(mode="after")
    def _network_is_possible(self) -> TrainConfig:
        settings = self.model.model_dump()
        NETWORKS[settings.pop("architecture")][1](**settings)
        return self

    @model_validator(mode="after")
    def _a_teacher_teaches(self) -> TrainConfig:
        weighted = self._ever_weights(TAUGHT)
        if weighted and self.loss.teacher is None:
            raise ValueError(f"loss.terms has a weight on {TAUGHT}: name the weights to learn from, loss.teacher")
        if self.loss.teacher is not None and not weighted:
            raise ValueError(f"loss.teacher is set: give loss.terms a weight on {TAUGHT}")
        return self

    @model_validator(mode="after")
    def _crops_are_large_enough(self) -> TrainConfig:
        least = 2 * self.loss.margin + (VIF_SIDE if self._ever_weights("vif") else 16)
        if self.data.crop < least:
            raise ValueError(f"data.crop must be at least {least} with these loss terms and loss.margin")
        if any(phase.crop and phase.crop < least for phase in self.phases):
            raise ValueError(f"phases: each crop must be at least {least} with these loss terms and loss.margin")
        return self

    def _ever_weights(self, term: str) -> bool:
        """Whether some part of the run has a weight on a term of the loss."""
        parts = self.loss.terms, self.loss.start, *(phase.terms or {} for phase in self.phases)
        return any(terms.get(term) for terms in parts)

    @model_validator(mode="after")
    def _phases_are_in_order(self) -> TrainConfig:
        starts = [phase.start for phase in self.phases]
        if starts != sorted(set(starts)):
            raise ValueError(f"phases must begin one after the other, not at {', '.join(map(str, starts))}")
        return self

    @model_validator(mode="after")
    def _shares_add_up(self) -> TrainConfig:
        shared = [phase for phase in self.phases if phase.share]
        if shared and abs(sum(phase.share for phase in shared) - 1) > 1e-6:
            raise ValueError(f"phases: the shares {', '.join(f'{phase.share:g}' for phase in shared)} must add up to 1")
        if shared and shared[-1].start >= self.run.steps:
            raise ValueError(
                f"phases: that from step {shared[-1].start} has a share, but the run ends at {self.run.steps}: "
                "take the shares out, or all phases (--set 'phases=[]')"
            )
        return self


HARMLESS = (
    "val.", "run.folder", "run.stop_after", "run.threads", "run.checkpointing", "run.save_every", "run.save_minutes",
    "run.keep", "run.log_every", "run.samples_every", "data.memory_mb", "data.workers",
    *(f"model.{name}" for name in WEIGHTLESS),
)  # fmt: skip
"""Settings that a resumed run may change: they do not touch the weights."""


def flatten(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as ``{"optim.lr": 3e-4, ...}``."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {prefix + key: value}
    return flat


def changed_keys(old: TrainConfig, new: TrainConfig) -> list[str]:
    """Dotted keys whose values differ and would change the weights."""
    a, b = (flatten(config.model_dump(mode="json")) for config in (old, new))
    return sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key) and not key.startswith(HARMLESS))
