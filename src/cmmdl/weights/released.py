"""The authors' checkpoint format: every one of its keys has a place here, or is named as unused, or is an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from cmmdl.errors import UserError
from cmmdl.models.cmmdl import CMMDL, CMMDLConfig

UNUSED_KINDS = ("q1X1_1", "q1X1_2", "norm_VI", "Sobel", "Identity")
"""What the parameters are called that the released program stores but never uses."""

# Parameters that the released program stores but never uses.
_UNUSED = re.compile(
    r"share_(Encoder\.share_encoder|Decoder\.share_decoder)\.[0-3]\.attn\.(q1X1_[12]\.weight|norm_VI\.body\.(weight|bias))"
    r"|MDLB\.SDomain_(VIS|IR)\.GCBInv\.[0-2]\.theta_(phi|rho|eta)\.(Sobel\.conv[xy]|Identity)\.weight"
)

# Their part of a key to ours, applied in turn.
_RENAMES = [
    (r"^share_Encoder\.patch_embed\.proj\.", "encoder.embed."),
    (r"^share_Encoder\.share_encoder\.", "encoder.blocks."),
    (r"^share_Decoder\.share_decoder\.", "decoder.blocks."),
    (r"^share_Decoder\.output\.0\.", "decoder.reduce."),
    (r"^share_Decoder\.output\.2\.", "decoder.output."),
    (r"\.attn\.qkv", ".sfca.qkvu"),
    (r"\.attn\.norm_IR\.body\.", ".sfca.norm."),
    (r"\.attn\.project_out_f\.", ".sfca.project_frequency."),
    (r"\.attn\.project_out\.", ".sfca.project."),
    (r"\.attn\.", ".sfca."),
    (r"\.ffn\.project_in\.", ".gdfn.expand."),
    (r"\.ffn\.dwconv\.", ".gdfn.depthwise."),
    (r"\.ffn\.project_out\.", ".gdfn.project."),
    (r"^MDLB\.FDomain\.pre1\.", "fdlb.pre_vis."),
    (r"^MDLB\.FDomain\.pre2\.", "fdlb.pre_ir."),
    (r"^MDLB\.FDomain\.pha_fuse\.", "fdlb.shared_phase."),
    (r"^MDLB\.FDomain\.amp_", "fdlb.amplitude_"),
    (r"^MDLB\.FDomain\.pha_", "fdlb.phase_"),
    (r"^MDLB\.FDomain\.", "fdlb."),
    (r"^(fdlb\.\w+?_)(VIS|IR)\.", lambda m: f"{m[1]}{m[2].lower()}."),
    (r"^MDLB\.SDomain_(VIS|IR)\.GCBInv\.(\d)\.theta_", lambda m: f"sdlb_{m[1].lower()}.steps.{m[2]}."),
    (r"^(sdlb_.*)\.Conv_1\.", r"\1.expand."),
    (r"^(sdlb_.*)\.Conv_2\.", r"\1.depthwise."),
    (r"^(sdlb_.*)\.Conv_3\.", r"\1.project."),
    (r"^MDLB\.FSI\.pre1\.conv\.", "hdffb.cross_vis."),
    (r"^MDLB\.FSI\.pre1\.bnop\.", "hdffb.cross_vis_norm."),
    (r"^MDLB\.FSI\.pre2\.conv\.", "hdffb.cross_ir."),
    (r"^MDLB\.FSI\.pre2\.bnop\.", "hdffb.cross_ir_norm."),
    (r"^MDLB\.FSI\.pre3\.conv\.", "hdffb.reduce."),
    (r"^MDLB\.FSI\.pre3\.bnop\.", "hdffb.reduce_norm."),
    (r"^MDLB\.FSI\.SA\.conv1\.", "hdffb.spatial."),
    (r"^MDLB\.FSI\.CA_([12])\.1\.", r"hdffb.channel\1.squeeze."),
    (r"^MDLB\.FSI\.CA_([12])\.2\.", r"hdffb.channel\1.squeeze_norm."),
    (r"^MDLB\.FSI\.CA_([12])\.4\.", r"hdffb.channel\1.excite."),
    (r"^MDLB\.FSI\.CA_([12])\.5\.", r"hdffb.channel\1.excite_norm."),
    (r"^MDLB\.FSI\.DSRM\.block(\d)\.", lambda m: f"hdffb.dense.{int(m[1]) - 1}."),
    (r"^(hdffb\.dense\.\d)\.0\.conv\.", r"\1.conv."),
    (r"^(hdffb\.dense\.\d)\.0\.bn\.", r"\1.norm1."),
    (r"^(hdffb\.dense\.\d)\.1\.", r"\1.norm2."),
]


def rename_released_key(key: str) -> str | None:
    """Our name of a parameter of the authors' state dict, or ``None`` if their program never uses it.

    Args:
        key: Their name, with or without the ``module.`` of data-parallel training.
    """
    name = key.removeprefix("module.")
    if _UNUSED.fullmatch(name):
        return None
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)  # type: ignore[call-overload]
    return name


def from_released(state: Mapping[str, Tensor]) -> tuple[CMMDL, list[str]]:
    """The network with the weights of an authors' state dict.

    Args:
        state: Their 390 keys.

    Returns:
        The network in eval mode, and the names of the unused parameters that were dropped.

    Raises:
        UserError: If a key is missing, unknown or there twice, or a value has the wrong shape or is not finite.
    """
    model = CMMDL(CMMDLConfig(coupling="released"))
    wanted = model.state_dict()
    renamed = {key: rename_released_key(key) for key in state}
    dropped = [key for key, name in renamed.items() if name is None]
    weights = {name: state[key] for key, name in renamed.items() if name is not None}
    if len(weights) + len(dropped) < len(state):
        raise UserError("the checkpoint holds parameters twice, with and without the prefix 'module.'")
    _check(wanted, weights)
    model.load_state_dict(weights)
    return model.eval(), dropped


def read_released(path: Path) -> dict[str, Tensor]:
    """The state dict in an authors' ``.pth`` file, read without running code from it.

    Raises:
        UserError: If the file is no checkpoint, or holds more than tensors.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # damaged files make the unpickler raise anything
        raise UserError(
            f"{path}: not a checkpoint of plain tensors; give the .pth file that the authors' training wrote"
        ) from error
    if isinstance(state, Mapping):
        for wrapper in ("state_dict", "model"):
            if isinstance(state.get(wrapper), Mapping):
                state = state[wrapper]
    if not isinstance(state, Mapping) or not all(_is_plain(key, value) for key, value in state.items()):
        raise UserError(f"{path}: does not hold a state dict of tensors")
    return dict(state)


def _is_plain(key: object, value: object) -> bool:
    """Whether an entry is a name with an ordinary tensor of real numbers that lie in memory."""
    return (
        isinstance(key, str)
        and isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_complex())
    )


def _check(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    unknown, missing = sorted(set(given) - set(wanted)), sorted(set(wanted) - set(given))
    if unknown or missing:
        parts = [f"unknown: {', '.join(unknown[:5])}"] if unknown else []
        parts += [f"missing: {', '.join(missing[:5])}"] if missing else []
        raise UserError(
            f"the checkpoint is not of the released network ({len(unknown)} unknown and {len(missing)} missing "
            f"parameters; {'; '.join(parts)})"
        )
    for name, tensor in given.items():
        if tensor.shape != wanted[name].shape:
            raise UserError(
                f"the checkpoint's {name} has shape {tuple(tensor.shape)}, the network's {tuple(wanted[name].shape)}"
            )
        if not tensor.isfinite().all():
            raise UserError(
                f"the checkpoint's {name} contains NaN or infinite values; use one from a training that did not diverge"
            )
