"""Training on your own pairs, from trained weights: python examples/finetune.py IR_FOLDER VIS_FOLDER RUN [STEPS]"""

import sys
from pathlib import Path

from cmmdl import Fuser
from cmmdl.training.config import DataConfig, ModelConfig, OptimConfig, RunConfig, Source, TrainConfig
from cmmdl.training.loop import train


def main(ir: str, vis: str, folder: str, steps: str = "300") -> None:
    config = TrainConfig(
        data=DataConfig(sources=(Source(ir=Path(ir), vis=Path(vis)),), crop=64, batch=2),
        model=ModelConfig(),
        optim=OptimConfig(lr=1e-4, warmup=10),
        run=RunConfig(folder=Path(folder), init="cmmdl-rt", steps=int(steps)),
    )
    outcome = train(config)
    print(f"{outcome.step} steps; weights: {outcome.weights}")
    Fuser(outcome.weights)  # they are used like a name


if __name__ == "__main__":
    main(*sys.argv[1:])
