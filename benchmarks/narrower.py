"""Narrows weights of the small network: takes out the channels that matter least, for training to go on from.

    python benchmarks/narrower.py runs/cmmdl-rt-wide.safetensors --width 24 \\
        --crops configs/history/cmmdl-rt-stage9.toml -o runs/cmmdl-rt-narrow/last.safetensors

The spatial path has the same channels from its first to its last layer, since each layer adds to what it gets. One
channel after the other goes: the one without which the fused crops change least. The crops are the first of a training
configuration. The same arguments give the same weights.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from cmmdl.models.rt import CMMDLRT
from cmmdl.training.configfile import load_config
from cmmdl.training.data import Crops
from cmmdl.weights.loading import load_model
from cmmdl.weights.saving import save_model


def narrowed(wide: CMMDLRT, keep: list[int]) -> CMMDLRT:
    """The network with these channels of its spatial path alone."""
    narrow, kept = CMMDLRT(replace(wide.config, width=len(keep))), torch.tensor(keep)

    def part(name: str, weight: Tensor) -> Tensor:
        if name.startswith("frequency.project."):
            return weight[torch.cat([kept, kept + wide.config.width])]
        if name.startswith("frequency.") or name == "tail.bias":
            return weight
        if name == "tail.weight":
            return weight[:, kept]
        return weight[kept][:, kept] if weight.dim() == 4 and not name.startswith("head.") else weight[kept]

    narrow.load_state_dict({name: part(name, weight) for name, weight in wide.state_dict().items()})
    return narrow.eval()


@torch.inference_mode()
def least_missed(wide: CMMDLRT, width: int, ir: Tensor, vis: Tensor) -> list[int]:
    """The channels that are left when all but so many have gone, one by one."""
    keep, wanted = list(range(wide.config.width)), wide(ir, vis)

    def change(channel: int) -> float:
        fused = narrowed(wide, [other for other in keep if other != channel])(ir, vis)
        return float((fused - wanted).square().mean())

    while len(keep) > width:
        changes = {channel: change(channel) for channel in keep}
        gone = min(keep, key=changes.__getitem__)
        keep.remove(gone)
        print(f"{len(keep)} channels: {changes[gone] ** 0.5 * 255:.2f} grey levels off (root mean square)", flush=True)
    return keep


def main() -> None:
    """Reads weights, writes narrower ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--crops", type=Path, required=True, help="a training configuration")
    parser.add_argument("--count", type=int, default=24, help="crops to look at")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    wide, config = load_model(given.weights), load_config(given.crops)
    crops = Crops(config.data, config.run.seed)
    ir, vis = (torch.stack([crops[n][side] for n in range(given.count)]) for side in ("ir", "vis"))
    keep = least_missed(wide, given.width, ir, vis)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    save_model(narrowed(wide, keep), given.output, {"channels": " ".join(map(str, keep))})


if __name__ == "__main__":
    main()
