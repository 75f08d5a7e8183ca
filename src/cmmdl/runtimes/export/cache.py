"""Networks exported on first use, kept for the next time."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from platformdirs import user_cache_path

from cmmdl.errors import UserError
from cmmdl.files.images import Note
from cmmdl.weights.resolving import Named, WeightsFile


def cached_export(model: Named | WeightsFile, note: Note) -> Path:
    """The ONNX file of a name or weights file: made if it is not in the cache of this user yet.

    It is called after the weights' hash and this package's version. torch is imported only to make it.

    Args:
        model: What `cmmdl.weights.resolving.resolve` made of a name or a ``.safetensors`` file.
        note: Called with a line if the file is made, which takes a while.

    Raises:
        UserError: If there is no such model, it cannot be exported, or what that needs is not installed.
    """
    folder = user_cache_path("cmmdl", appauthor=False) / "exported"
    path = folder / f"{model.name}-{model.sha256[:16]}-{version('cmmdl')}.onnx"
    if path.is_file():
        return path
    from cmmdl.runtimes.export.model import export_model  # needs torch

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be created ({error.strerror}); export the model and give the file") from error
    note(f"{model.name} is exported once for this runtime, into {path}")
    export_model(model, path)
    return path
