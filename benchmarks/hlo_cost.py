"""What a compiled XLA module does when it runs, counted from its text: launches, and bytes that they read and write.

Every instruction of the entry computation is walked: loops as often as their known trip count says, conditionals by
their costliest branch. Each fusion, product, copy or custom call is one launch. Of a fusion that reads a slice of an
operand, or writes a part of one in place, the part counts. Caches are not known: what stays in them is an upper bound
of what reaches memory. Of a kernel of our own, its arrays count once, however often blocks read them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from math import prod

_BYTES = {"pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "bf16": 2, "f16": 2, "f64": 8, "s64": 8, "u64": 8, "c64": 8}
_ARRAY = re.compile(r"\b(pred|bf16|[sufc]\d+)\[([\d,]*)\]")
_LINE = re.compile(r"^\s*(ROOT )?%?([\w.\-]+) = (\([^=]*?\)|\S+) ([\w\-]+)\((.*)$")
_COMMENT = re.compile(r"/\*.*?\*/")
_NOT_RUN = (
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id"),
    *("copy-done", "async-done", "async-start", "opt-barrier", "domain"),
)
_SLICES = ("dynamic-slice", "slice", "gather")


@dataclass(frozen=True)
class Cost:
    """Launches and bytes of one run, and how many loops had no known trip count and counted once."""

    launches: float
    bytes: float
    unknown_loops: int


@dataclass(frozen=True)
class _Instruction:
    name: str
    shape: str
    op: str
    operands: tuple[str, ...]
    attributes: str
    root: bool

    @property
    def size(self) -> int:
        """Bytes of the result."""
        return sum(
            _BYTES.get(kind, 4) * prod(int(n) for n in dims.split(",") if n)
            for kind, dims in _ARRAY.findall(self.shape)
        )

    def computations(self, key: str) -> list[str]:
        """Names of computations that it calls under an attribute."""
        found = re.search(key + r"=(?:\{([^}]*)\}|%?([\w.\-]+))", self.attributes)
        return [name.strip().lstrip("%") for name in (found.group(1) or found.group(2)).split(",")] if found else []


_Body = dict[str, _Instruction]


def cost_of(text: str) -> Cost:
    """Of the text of an optimised, scheduled module, `compiled.as_text()`."""
    module = _Module(*_read(text))
    launches, moved = module.cost(module.entry)
    return Cost(launches, moved, module.unknown_loops)


def _read(text: str) -> tuple[dict[str, _Body], str]:
    bodies: dict[str, _Body] = {}
    body: _Body = {}
    entry = ""
    for line in _COMMENT.sub("", text).splitlines():
        if line.endswith("{") and "->" in line and " = " not in line.split("->")[0]:
            name = line.removeprefix("ENTRY ").strip().split(" ")[0].lstrip("%")
            body = bodies[name] = {}
            entry = name if line.startswith("ENTRY") else entry
        elif match := _LINE.match(line):
            root, name, shape, op, rest = match.groups()
            inside = _closing(rest)
            operands = tuple(re.findall(r"%([\w.\-]+)", rest[:inside]))
            body[name] = _Instruction(name, shape, op, operands, rest[inside:], bool(root))
    return bodies, entry


def _closing(text: str) -> int:
    """Where the parenthesis before the text is closed."""
    depth = 1
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return place
    return len(text)


@dataclass
class _Module:
    bodies: dict[str, _Body]
    entry: str
    unknown_loops: int = 0
    _known: dict[str, tuple[float, float]] = field(default_factory=dict)

    def cost(self, name: str) -> tuple[float, float]:
        """Launches and bytes of one run of a computation."""
        if name not in self._known:
            costs = [self._instruction(x, self.bodies[name]) for x in self.bodies[name].values()]
            self._known[name] = sum(a for a, _ in costs), sum(b for _, b in costs)
        return self._known[name]

    def _instruction(self, x: _Instruction, body: _Body) -> tuple[float, float]:
        if x.op == "while":
            count = re.search(r'known_trip_count[^}]*?"n":"?(\d+)', x.attributes)
            self.unknown_loops += count is None
            launches, moved = self.cost(x.computations("body")[0])
            times = int(count.group(1)) if count else 1
            return times * launches, times * moved
        if x.op == "conditional":
            keys = ("branch_computations", "true_computation", "false_computation")
            branches = [self.cost(name) for key in keys for name in x.computations(key)]
            return max(branches, key=lambda cost: cost[1])
        called = x.computations("to_apply") or x.computations("calls")
        if x.op in ("call", "async-start") and called:
            return self.cost(called[0])
        return (0, 0) if x.op in _NOT_RUN else (1, self._moved(x, body))

    def _moved(self, x: _Instruction, body: _Body) -> float:
        inner = self.bodies.get((x.computations("calls") or [""])[0]) if x.op == "fusion" else None
        if inner is not None:
            return self._fusion(inner)
        sizes = [body[name].size for name in x.operands if name in body]
        if x.op == "dynamic-update-slice":
            return 2 * sizes[1]
        return 2 * x.size if x.op in _SLICES else sum(sizes) + x.size

    def _fusion(self, body: _Body) -> float:
        readers: dict[str, list[_Instruction]] = defaultdict(list)
        for x in body.values():
            for name in x.operands:
                readers[name].append(x)
        read = sum(_read_of(x.name, x.size, readers) for x in body.values() if x.op == "parameter")
        return read + sum(_written(x, body) for x in body.values() if x.root)


def _read_of(name: str, whole: float, readers: dict[str, list[_Instruction]]) -> float:
    """How much of an operand a fusion reads."""
    part = 0.0
    for x in readers[name]:
        if x.op == "bitcast":
            part += _read_of(x.name, whole, readers)
        elif x.op in _SLICES:
            part += x.size
        elif not (x.op == "dynamic-update-slice" and x.operands[0] == name):
            return whole
    return min(part, whole)


def _written(x: _Instruction, body: _Body) -> float:
    """How much a fusion writes."""
    if x.op == "dynamic-update-slice":
        return body[x.operands[1]].size
    if x.op == "bitcast" and x.operands[0] in body:
        return _written(body[x.operands[0]], body)
    if x.op == "tuple":
        return sum(_written(body[name], body) for name in x.operands if name in body)
    return x.size
