"""The small faults that are put into a module, one at a time.

A fault lies in the body of a function: the code of a function can be exchanged in a process that has
imported everything. Defaults, class bodies, annotations, texts, assertions and what an error says are left
alone. A fault keeps every name that its function had, so that the function closes over the same cells.
"""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
PAIRS = (
    ("min", "max"),
    ("any", "all"),
    ("floor", "ceil"),
    ("argmin", "argmax"),
    ("pop", "popleft"),
    ("append", "appendleft"),
    ("minimum", "maximum"),
    ("bisect_left", "bisect_right"),
)
NAMES = dict(PAIRS) | {second: first for first, second in PAIRS}
DROPPED = (ast.AugAssign, ast.Raise, ast.Break, ast.Continue, ast.Delete)


@dataclass(frozen=True)
class Mutant:
    """One fault: where it lies, what stood there, what stands there now."""

    module: str
    function: str  # its qualified name
    first_line: int  # of the function's code object
    lines: range  # of the statement that it is in
    before: str
    after: str
    ordinal: int  # among those of the function that read the same
    tree: ast.Module = field(repr=False, compare=False)
    node: ast.AST = field(repr=False, compare=False)
    replacement: ast.AST = field(repr=False, compare=False)

    @property
    def id(self) -> str:
        """The mutant's name, which does not change when lines move."""
        again = f" ({self.ordinal})" if self.ordinal > 1 else ""
        return f"{self.module}:{self.function}: {self.before} -> {self.after}{again}"

    def mutated(self) -> ast.Module:
        """Return the whole module with the fault in it."""
        return ast.fix_missing_locations(_with(self.tree, self.node, self.replacement))


def mutants_of(module: str, source: str) -> list[Mutant]:
    """Return all faults for a module's source, in the order of its lines.

    >>> [m.id for m in mutants_of("m", "def f(a, b):\\n    return a + 1 if a < b else b")][:2]
    ['m:f: return a + 1 if a < b else b -> return None', 'm:f: a < b -> a <= b']
    """
    tree = ast.parse(source)
    found: list[Mutant] = []
    seen: dict[tuple[str, str, str], int] = {}
    for name, function in _functions(tree.body, ""):
        first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
        for statement in _statements(function.body):
            end = statement.end_lineno or statement.lineno
            if blocks := _blocks(statement):
                end = max(statement.lineno, blocks[0].lineno - 1)
            lines = range(statement.lineno, end + 1)
            for node, replacement, after in _faults(statement):
                before = _text(node)
                key = (name, before, after)
                seen[key] = seen.get(key, 0) + 1
                ordinal, place = seen[key], (tree, node, replacement)
                found.append(Mutant(module, name, first, lines, before, after, ordinal, *place))
    return found


def _functions(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every function of the module and of its classes that does something, with its qualified name."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
            if not decorators & {"abstractmethod", "overload"} and node.name != "__repr__":
                yield prefix + node.name, node


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements at any depth, but no docstrings and no assertions."""
    for node in body:
        if isinstance(node, ast.Assert):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        yield node
        yield from _statements(_blocks(node))


def _blocks(node: ast.stmt) -> list[ast.stmt]:
    """The statements directly within a compound one."""
    inner: list[ast.stmt] = []
    for name in ("body", "orelse", "finalbody"):
        inner += getattr(node, name, [])
    for part in (*getattr(node, "handlers", []), *getattr(node, "cases", [])):
        inner += part.body
    return inner


def _faults(statement: ast.stmt) -> Iterator[tuple[ast.AST, ast.AST, str]]:
    """What can be wrong in a statement itself: the node, what replaces it, and how that reads."""
    if _droppable(statement):
        yield statement, ast.If(ast.Constant(False), [statement], []), "(dropped)"
    if isinstance(statement, ast.Raise):
        return
    if isinstance(statement, ast.Return) and not _is_none(statement.value):
        nothing = ast.IfExp(ast.Constant(True), ast.Constant(None), statement.value)
        yield statement, ast.Return(nothing), "return None"
    if isinstance(statement, ast.AugAssign) and type(statement.op) in ARITHMETIC:
        yield _changed(statement, op=ARITHMETIC[type(statement.op)]())
    for expression in _expressions(statement):
        for node in _nodes(expression):
            yield from _expression_faults(node)
    if isinstance(statement, ast.If | ast.While) and _plain(statement.test):
        yield statement.test, *_negated(statement.test)


def _droppable(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assign):
        return any(isinstance(target, ast.Attribute | ast.Subscript) for target in statement.targets)
    if isinstance(statement, ast.Expr):  # without a `yield` a process would not be one
        return not isinstance(statement.value, ast.Constant)
    return isinstance(statement, DROPPED)


def _expressions(statement: ast.stmt) -> Iterator[ast.AST]:
    """The expressions of a statement itself, but not of those within, and no annotation."""
    for name, value in ast.iter_fields(statement):
        if name in {
            "annotation",
            "body",
            "orelse",
            "finalbody",
            "handlers",
            "decorator_list",
            "returns",
            "args",
        }:
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.match_case):
                yield from [part.guard] if part.guard else []
            elif isinstance(part, ast.AST):
                yield part


def _nodes(expression: ast.AST) -> Iterator[ast.AST]:
    """An expression and all within it, but nothing of a text."""
    if isinstance(expression, ast.JoinedStr):
        return
    yield expression
    for child in ast.iter_child_nodes(expression):
        yield from _nodes(child)


def _expression_faults(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST, str]]:
    match node:
        case ast.Compare():
            for place, operator in enumerate(node.ops):
                for other in COMPARISONS[type(operator)]:
                    yield _changed(node, ops=[*node.ops[:place], other(), *node.ops[place + 1 :]])
        case ast.BinOp() if type(node.op) in ARITHMETIC:
            yield _changed(node, op=ARITHMETIC[type(node.op)]())
        case ast.BoolOp():
            yield _changed(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield node, operand, _text(operand)
        case ast.Constant(value=bool() as value):
            yield _changed(node, value=not value)
        case ast.Constant(value=int() | float() as number):
            yield _changed(node, value=number + 1)
            if number not in (0, 1):
                yield _changed(node, value=number - 1)
        case ast.IfExp(test=test) if _plain(test):
            yield test, *_negated(test)
        case ast.Name(id=name) if name in NAMES:
            yield _changed(node, id=NAMES[name])
        case ast.Attribute(attr=name) if name in NAMES:
            yield _changed(node, attr=NAMES[name])
        case ast.comprehension(ifs=[*tests]):
            for test in tests:
                if _plain(test):
                    yield test, *_negated(test)


def _plain(test: ast.expr) -> bool:
    """Whether no other fault negates this condition."""
    return not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp)


def _is_none(value: ast.expr | None) -> bool:
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def _negated(test: ast.expr) -> tuple[ast.AST, str]:
    negated = ast.UnaryOp(ast.Not(), test)
    return negated, _text(negated)


def _changed(node: ast.AST, **values: object) -> tuple[ast.AST, ast.AST, str]:
    other = copy.copy(node)
    for name, value in values.items():
        setattr(other, name, value)
    return node, other, _text(other)


def _with(tree: ast.Module, node: ast.AST, replacement: ast.AST) -> ast.Module:
    """The tree with one node replaced; all else is shared with the tree itself."""

    def copied(current: ast.AST) -> ast.AST:
        if current is node:
            return ast.copy_location(replacement, node)
        other = copy.copy(current)
        for name, value in ast.iter_fields(current):
            if isinstance(value, list):
                parts = [copied(part) if isinstance(part, ast.AST) else part for part in value]
                setattr(other, name, parts)
            elif isinstance(value, ast.AST):
                setattr(other, name, copied(value))
        return other

    mutated = copied(tree)
    assert isinstance(mutated, ast.Module)
    return mutated


def _text(node: ast.AST) -> str:
    """The node as it reads, on one line."""
    return " ".join(ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split())
