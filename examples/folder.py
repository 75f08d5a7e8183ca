"""A folder, and what became of each pair: python examples/folder.py IR_FOLDER VIS_FOLDER OUT_FOLDER [MODEL]"""

import sys
from pathlib import Path

from cmmdl import Fuser
from cmmdl.files.pairs import pair_folders
from cmmdl.fusion.folder import fuse_pairs, prepare_folder
from cmmdl.fusion.options import FuseOptions


def main(ir: str, vis: str, out: str, model: str = "cmmdl-rt") -> None:
    pairs, unpaired = pair_folders(Path(ir), Path(vis), Path(out))
    prepare_folder(Path(out))
    for outcome in fuse_pairs(Fuser(model), pairs, FuseOptions(depth="uint8")):
        print(f"{outcome.pair.stem}: {outcome.error or 'fused'}")
    for line in unpaired:
        print(f"left out: {line}")


if __name__ == "__main__":
    main(*sys.argv[1:])
