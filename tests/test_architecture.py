"""Imports run one way: from the rooms that know nothing of the others to the command line."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import cmmdl

ROOT = Path(cmmdl.__file__).parent

FLOORS = [
    {"errors", "scenes"},
    {"files"},
    {"metrics", "models"},
    {"weights"},
    {"runtimes"},
    {"align"},
    {"fusion"},
    {"training", "evaluate", "datasets", "bench"},
    {"serve", "cli"},
]
"""A room may import those of the floors above it in this list; rooms of one floor do not import each other."""

ALLOWED = {("cli", "serve")}
ENTRANCES = {"__init__", "__main__"}


def imported(source: str) -> set[str]:
    """The rooms that a file imports: at its top, inside functions, for typing, and by ``import_module``."""
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            rooms |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("cmmdl.")}
        elif isinstance(node, ast.ImportFrom) and node.module == "cmmdl":
            rooms |= {alias.name for alias in node.names if not alias.name.startswith("__")}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are written out, from cmmdl on"
            if (node.module or "").startswith("cmmdl."):
                rooms.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            rooms |= set(re.findall(r"\bcmmdl\.(\w+)", ast.unparse(node)))
    return rooms


def room_of(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def arrows() -> set[tuple[str, str]]:
    files = [file for file in ROOT.rglob("*.py") if room_of(file) not in ENTRANCES]
    found = {(room_of(file), room) for file in files for room in imported(file.read_text(encoding="utf-8"))}
    return {(one, other) for one, other in found if one != other}


def test_every_room_has_its_floor() -> None:
    rooms = {room_of(file) for file in ROOT.rglob("*.py")} - ENTRANCES
    assert rooms <= set().union(*FLOORS)


def test_imports_run_one_way() -> None:
    wrong = {(one, other) for one, other in arrows() - ALLOWED if floor_of(one) <= floor_of(other)}
    assert not wrong


@pytest.mark.parametrize(
    ("source", "rooms"),
    [
        ("from cmmdl.files.images import read_image", {"files"}),
        ("import cmmdl.metrics", {"metrics"}),
        ("from cmmdl import errors, __version__", {"errors"}),
        ("def f():\n    from cmmdl.cli import main", {"cli"}),
        ("if TYPE_CHECKING:\n    from cmmdl.fusion.fuser import Fuser", {"fusion"}),
        ("def f():\n    import_module('cmmdl.serve.app')", {"serve"}),
        ("import_module(f'cmmdl.cli.{name}').command", {"cli"}),
        ("import numpy", set()),
    ],
)
def test_lazy_and_typing_imports_count(source: str, rooms: set[str]) -> None:
    assert imported(source) == rooms
