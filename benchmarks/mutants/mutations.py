"""Small changes of Python source: every one could be a slip of the pen, and a good test would notice it.

A mutation replaces one node of the syntax tree in the text of its file; all other characters stay. Docstrings,
messages, annotations and ``if TYPE_CHECKING`` are left alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "/", ast.Mod: "*", ast.Pow: "*",
    ast.BitAnd: "|", ast.BitOr: "&", ast.MatMult: "*",
}  # fmt: skip
NAMES = {
    "min": "max", "max": "min", "any": "all", "all": "any", "amin": "amax", "amax": "amin", "floor": "ceil",
    "ceil": "floor", "minimum": "maximum", "maximum": "minimum", "zeros": "ones", "ones": "zeros",
    "zeros_like": "ones_like", "ones_like": "zeros_like", "sum": "mean", "mean": "sum", "sin": "cos", "cos": "sin",
}  # fmt: skip


@dataclass(frozen=True)
class Mutation:
    """One change.

    Attributes:
        file: Below the root of the sources.
        line: Where it is, from 1.
        place: Function or class around it, dotted; empty at module level.
        start: Offset of the first character that is replaced.
        end: Offset behind the last one.
        old: The text that is replaced.
        new: What takes its place.
    """

    file: str
    line: int
    place: str
    start: int
    end: int
    old: str
    new: str

    @property
    def name(self) -> str:
        """What stays the same when lines move: file, place and change, in one line."""
        return f"{self.file} {self.place or '-'}: {' '.join(self.old.split())} -> {' '.join(self.new.split())}"

    def applied(self, text: str) -> str:
        """The file with the change."""
        return text[: self.start] + self.new + text[self.end :]


class _Finder(ast.NodeVisitor):
    """Gathers the mutations of one file."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.text = file, text
        self.found: list[Mutation] = []
        self.places: list[str] = []
        self.starts = [0]
        for line in text.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.lines = text.splitlines(keepends=True)

    def offset(self, line: int, column: int) -> int:
        """Of a place in the tree, whose columns count UTF-8 bytes."""
        return self.starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode())

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.offset(node.lineno, node.col_offset), self.offset(node.end_lineno, node.end_col_offset)

    def add(self, node: ast.expr | ast.stmt, new: str) -> None:
        start, end = self.span(node)
        old = self.text[start:end]
        self.found.append(Mutation(self.file, node.lineno, ".".join(self.places), start, end, old, new))

    def source(self, node: ast.expr) -> str:
        start, end = self.span(node)
        return f"({self.text[start:end]})"

    def visit_scope(self, node: ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef) -> None:
        self.places.append(node.name)
        if not isinstance(node, ast.ClassDef):
            for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
                self.visit(default)
        for statement in node.body:  # neither decorators nor annotations
            self.visit(statement)
        self.places.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_scope  # noqa: N815

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None and "TypeAlias" not in ast.unparse(node.annotation):
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        target = node.targets[0]
        if isinstance(target, ast.Name) and (target.id == "__all__" or _is_type(node.value)):
            return
        if isinstance(target, ast.Attribute | ast.Subscript) and self.places:
            self.add(node, "pass")
        self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.add(node.test, "not " + self.source(node.test))
            self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            if isinstance(node.value, ast.Call):
                self.add(node, "pass")
            self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self.add(node, "pass")  # its message is not looked into

    def visit_Assert(self, node: ast.Assert) -> None:
        """Assertions are for the type checker."""

    def visit_Compare(self, node: ast.Compare) -> None:
        if len(node.ops) == 1:
            new = COMPARISONS[type(node.ops[0])]
            self.add(node, f"{self.source(node.left)} {new} {self.source(node.comparators[0])}")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in OPERATORS and not _is_type(node):
            self.add(node, f"{self.source(node.left)} {OPERATORS[type(node.op)]} {self.source(node.right)}")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        word = " or " if isinstance(node.op, ast.And) else " and "
        self.add(node, word.join(self.source(value) for value in node.values))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not | ast.USub):
            self.add(node, self.source(node.operand))
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.add(node, f"{self.source(node.orelse)} if {self.source(node.test)} else {self.source(node.body)}")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.add(node, str(not node.value))
        elif isinstance(node.value, int):
            self.add(node, str(node.value + 1))
        elif isinstance(node.value, float):
            self.add(node, repr(node.value * 1.1 if node.value else 1.0))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Messages are not looked into."""

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in NAMES:
            self.add(node, f"{self.source(node.value)}.{NAMES[node.attr]}")
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in NAMES and isinstance(node.ctx, ast.Load):
            self.add(node, NAMES[node.id])


def _is_type(node: ast.expr) -> bool:
    """Whether an expression is a type, such as ``str | Path`` or ``Callable[[int], None]``."""
    words = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
    known = {"Path", "str", "int", "float", "None", "Callable", "tuple", "Literal", "NDArray", "Tensor", "dict", "list"}
    return bool(words) and words <= known | {"Any", "Mapping", "Image", "np"} and not (words <= {"np", "Image"})


def mutations_of(file: Path, root: Path) -> Iterator[Mutation]:
    """All mutations of a file that Python can still compile."""
    text = file.read_text(encoding="utf-8")
    finder = _Finder(file.relative_to(root).as_posix(), text)
    finder.visit(ast.parse(text))
    for mutation in finder.found:
        try:
            compile(mutation.applied(text), str(file), "exec")
        except SyntaxError:
            continue
        yield mutation
