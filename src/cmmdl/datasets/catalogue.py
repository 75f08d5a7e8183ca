"""What the project knows of each data set: its source, terms, paper, split and folders. None is part of this project.

Nothing is downloaded: the project knows no hash of anyone's archive, and most sources leave their terms unstated. A
user fetches an archive by hand and gives it to ``cmmdl data prepare``, which prints its hash.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from cmmdl.errors import UsageError

Layout = Mapping[str, tuple[str, str]]
"""Split -> the folders of its two sides, below whatever folder holds them all; written in any case."""

IR_VIS = ("ir", "vis")


@dataclass(frozen=True)
class DataSet:
    """A published data set of registered pairs.

    Attributes:
        name: What the command line calls it.
        title: Its full name.
        source: Where its authors publish it.
        terms: What is known of its licence; the source decides.
        paper: What to cite.
        split: The published split in words.
        counts: Split -> published number of pairs; empty where there is no agreed number.
        layouts: Published folders, the most telling first. The split ``all`` means that there is no official one.
        size: Published width and height of every picture; ``None`` where sizes differ.
        sides: Names of the two folders of a prepared split.
        hint: What to know before preparing it; may be empty.
    """

    name: str
    title: str
    source: str
    terms: str
    paper: str
    split: str
    counts: Mapping[str, int]
    layouts: tuple[Layout, ...]
    size: tuple[int, int] | None = None
    sides: tuple[str, str] = IR_VIS
    hint: str = ""


def _split_layout(pattern_ir: str, pattern_vis: str) -> Layout:
    """A layout with a train and a test folder; ``{}`` in a pattern is the split."""
    return {split: (pattern_ir.format(split), pattern_vis.format(split)) for split in ("train", "test")}


def _without_split(*pairs: tuple[str, str]) -> tuple[Layout, ...]:
    return tuple({"all": pair} for pair in pairs)


def _m3fd(part: str, count: int) -> DataSet:
    """M3FD comes in two parts of one layout."""
    return DataSet(
        name="m3fd" if part == "Fusion" else f"m3fd-{part.lower()}",
        title=f"M3FD_{part}",
        source="https://github.com/JinyuanLiu-CV/TarDAL",
        terms="not stated for the pictures",
        paper="Liu et al. Target-aware dual adversarial learning and a multi-scenario multi-modality benchmark to fuse "
        "infrared and visible for object detection. CVPR 2022",
        split=f"none, {count} pairs",
        counts={"all": count},
        layouts=_without_split(("Ir", "Vis")),
        size=(1024, 768),
        hint=f"The repository links to the archive M3FD_{part}; M3FD_Fusion and M3FD_Detection are separate sets.",
    )


def _harvard(second: str, modality: str) -> DataSet:
    """One pairing of the whole-brain atlas."""
    return DataSet(
        name=f"harvard-{second}",
        title=f"Harvard whole-brain atlas (AANLIB), MRI and {modality}",
        source="https://www.med.harvard.edu/aanlib",
        terms="copyright of its authors; no licence stated, research use",
        paper="Johnson, Becker. The Whole Brain Atlas. Harvard Medical School",
        split="none official",
        counts={},
        layouts=(_split_layout("{}/MRI", f"{{}}/{modality}"), *_without_split(("MRI", modality))),
        size=(256, 256),
        sides=("mri", second),
        hint=f"The site shows single slices: save MRI and {modality} of a slice under one number in folders MRI and "
        f"{modality}, GIF converted to PNG.",
    )


CATALOGUE = (
    DataSet(
        name="msrs",
        title="MSRS, multi-spectral road scenarios",
        source="https://github.com/Linfeng-Tang/MSRS",
        terms="not stated; made from the MFNet data set, research use",
        paper="Tang, Yuan, Zhang, Jiang, Ma. PIAFusion: A progressive infrared and visible image fusion network based "
        "on illumination aware. Information Fusion 83-84, 2022",
        split="1083 train, 361 test",
        counts={"train": 1083, "test": 361},
        layouts=(_split_layout("{}/ir", "{}/vi"),),
        size=(640, 480),
    ),
    DataSet(
        name="roadscene",
        title="RoadScene",
        source="https://github.com/hanna-xu/RoadScene",
        terms="not stated; made from pictures by FLIR, research use",
        paper="Xu, Ma, Le, Jiang, Guo. FusionDN: A unified densely connected network for image fusion. AAAI 2020",
        split="none official, 221 pairs",
        counts={"all": 221},
        layouts=_without_split(("cropinfrared", "crop_LR_visible")),
        hint="Papers test on different subsets: name yours by --test-stems.",
    ),
    DataSet(
        name="tno",
        title="TNO image fusion data set",
        source="https://figshare.com/articles/dataset/TNO_Image_Fusion_Dataset/1008029",
        terms="CC BY 4.0 on figshare",
        paper="Toet. The TNO multiband image data collection. Data in Brief 15, 2017",
        split="none official; papers test on 20 to 42 pairs of their choice",
        counts={},
        layouts=_without_split(("ir", "vis"), ("ir", "vi"), ("infrared", "visible")),
        hint="The archive has a folder a scene with file names of many kinds: collect the pairs of your choice under "
        "one stem each in folders ir and vis first.",
    ),
    _m3fd("Fusion", 300),
    _m3fd("Detection", 4200),
    DataSet(
        name="llvip",
        title="LLVIP, low-light vision",
        source="https://github.com/bupt-ai-cz/LLVIP",
        terms="terms of use in the repository: research, not commercial",
        paper="Jia, Zhu, Li, Tang, Zhou. LLVIP: A visible-infrared paired dataset for low-light vision. ICCV "
        "Workshops 2021",
        split="12025 train, 3463 test",
        counts={"train": 12025, "test": 3463},
        layouts=(_split_layout("infrared/{}", "visible/{}"),),
        size=(1280, 1024),
        hint="Take the registered pictures, not the raw ones.",
    ),
    DataSet(
        name="fmb",
        title="FMB, full-time multi-modality benchmark",
        source="https://github.com/JinyuanLiu-CV/SegMiF",
        terms="not stated for the pictures",
        paper="Liu et al. Multi-interactive feature learning and a full-time multi-modality benchmark for image "
        "fusion and segmentation. ICCV 2023",
        split="1220 train, 280 test",
        counts={"train": 1220, "test": 280},
        layouts=(_split_layout("{}/Infrared", "{}/Visible"),),
        size=(800, 600),
    ),
    _harvard("ct", "CT"),
    _harvard("pet", "PET"),
    _harvard("spect", "SPECT"),
)
"""Every data set that has a name."""


def find_data_set(name: str) -> DataSet:
    """A data set by its name.

    Raises:
        UserError: If there is none of that name; the nearest is suggested.
    """
    names = [data.name for data in CATALOGUE]
    if name.lower() in names:
        return CATALOGUE[names.index(name.lower())]
    near = difflib.get_close_matches(name.lower(), names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
    raise UsageError(f"no data set is called {name!r}; {hint}")
