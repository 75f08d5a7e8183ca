"""What every worker of a run is given, and what it tells of each pair."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmmdl.align.transform import field_file, load
from cmmdl.errors import UserError
from cmmdl.files.images import Note, quiet_decoders
from cmmdl.fusion.options import FuseOptions
from cmmdl.fusion.products import Products
from cmmdl.weights.resolving import ExportedFile, WeightsFile, resolve

if TYPE_CHECKING:
    from cmmdl.fusion.fuser import Fuser


@dataclass(frozen=True)
class Job:
    """How all pairs of a run are fused, without anything that only one computer has.

    Attributes:
        model: A name, a torch module, or the name of a file in ``files``.
        files: Name -> content of the files of the model, if it is no name.
        fuser: The other arguments of the fuser.
        options: Of every pair; a stored transform by the name of its file.
        products: What is wanted of every pair.
        transform: Name -> content of the files of a stored transform.
        one_file: Whether the infrared file of each pair holds the visible picture too.
        here: What relative paths are below.
        temperature: Address of the folder that gets temperatures; empty for none.
    """

    model: Any
    files: Mapping[str, bytes]
    fuser: Mapping[str, Any]
    options: FuseOptions
    products: Products
    transform: Mapping[str, bytes] = field(default_factory=dict)
    one_file: bool = False
    here: str = ""
    temperature: str = ""

    def open(self, note: Note, device: str, threads: int | None) -> Fuser:
        """The fuser of one worker.

        Raises:
            UserError: If the model, backend, device or precision is not there.
        """
        from cmmdl.fusion.fuser import Fuser

        quiet_decoders()
        asked = {**self.fuser, "device": device, "threads": threads, "note": note}
        if not self.files:
            return Fuser(self.model, **asked)
        with tempfile.TemporaryDirectory(prefix="cmmdl-") as folder:
            for name, content in self.files.items():
                (Path(folder) / name).write_bytes(content)
            return Fuser(Path(folder) / self.model, **asked)


def carried(model: Any) -> tuple[Any, dict[str, bytes]]:
    """A model as other computers can open it: a file is taken along, with those that belong to it.

    Raises:
        UserError: If there is no such model, or its file cannot be read.
    """
    found = resolve(model)
    if not isinstance(found, WeightsFile | ExportedFile):
        return model, {}
    beside = [found.path.with_suffix(".bin"), found.path.with_name(f"{found.path.name}.data")]
    files = [found.path, *(path for path in beside if isinstance(found, ExportedFile) and path.is_file())]
    try:
        return found.path.name, {path.name: path.read_bytes() for path in files}
    except OSError as error:
        raise UserError(f"{found.path} cannot be read ({error.strerror}); check the path") from error


def carried_transform(path: Path | None) -> dict[str, bytes]:
    """The files of a stored transform; nothing for none.

    Raises:
        UserError: If it cannot be used.
    """
    if path is None:
        return {}
    load(path)
    return {file.name: file.read_bytes() for file in (path, field_file(path)) if file.is_file()}


Said = tuple[bool, bool, str, str]
"""A note: whether it concerns a result, whether something was left undone, the line, and the line without names."""


@dataclass(frozen=True)
class Told:
    """What became of a pair.

    Attributes:
        number: Its place among all pairs of the run.
        error: Why it was not fused; empty if it was.
        doubt: As in `cmmdl.fusion.folder.Outcome`.
        report: As there.
        notes: What was worth knowing.
        fatal: Whether no other pair would fare better.
        on: Device and runtime in words.
    """

    number: int
    error: str = ""
    doubt: str = ""
    report: dict[str, Any] | None = None
    notes: list[Said] = field(default_factory=list)
    fatal: bool = False
    on: str = ""

    def as_text(self) -> str:
        """As JSON, which passes through Ray Data as it is."""
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> Told:
        """The opposite."""
        return cls(**json.loads(text))
