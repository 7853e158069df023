"""The rules of the house, checked: documentation, completeness of tables, directions of imports, sizes."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import Phase, find, settings

import ntc
from ntc.backends.jax.emit.rows import EMITTERS
from ntc.backends.jax.finite import FORWARD
from ntc.backends.jax.integrals import FAMILIES
from ntc.errors import InputError
from ntc.frontend import nn
from ntc.ir import ops
from ntc.ir.graph import Graph
from ntc.ir.kernel import KERNEL_OPS
from ntc.ir.ops import TENSOR_OPS, Elementwise, FiniteOnly, GivenActivation, Kinked, PowerLaw
from ntc.passes.pipeline import PASSES
from tests.strategies import FINITE, JOINS, ONE_DEEP, families, graphs_of_step, tensor_graphs
from tools import mutate

PACKAGE = Path(ntc.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__") for path in FILES]
by_file = pytest.mark.parametrize("path", FILES, ids=MODULES)

LONGEST_FILE = 400
LONGEST_FUNCTION = 60

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "files": {"errors"},
    "ir": {"errors", "ir"},
    "frontend": {"errors", "files", "ir", "frontend"},
    "passes": {"errors", "ir", "passes"},
    "plan": {"errors", "ir", "plan"},
    "price": {"errors", "files", "ir", "plan", "price"},
    "picture": {"errors", "ir", "plan", "price", "picture"},
    "backends": {"errors", "ir", "picture", "plan", "price", "backends"},
}
"""Rooms that import from few others. Those not named here, such as `compiler`, stand above and may use all."""

WITHIN_BACKEND: dict[str, set[str]] = {
    "integrals": {"integrals", "functions", "expressions"},
    "emit": {"emit", "integrals", "inputs", "hyper"},
    "finite": {"finite", "functions", "inputs", "hyper", "concrete"},
    "formulas": {"formulas", "expressions"},
    "pallas": {"pallas", "emit", "inputs", "hyper"},
    "run": {"run", "emit", "pallas", "inputs", "precision", "program"},
}
"""Rooms of `ntc.backends.jax`: what is run traces what is emitted, which calls integrals."""

MAY_IMPORT_JAX = {"backends", "artifact", "predict", "finite", "importing", "stax", "cli", "adapters"}


@pytest.mark.parametrize("op", TENSOR_OPS.values(), ids=TENSOR_OPS)
def test_layers_give_formula_and_source(op: type[Any]) -> None:
    """Protects readers: every layer says what it computes, its rule, and where that is from."""
    text = documentation(op)
    assert "Source:" in text
    assert "K'" in text or issubclass(op, (Elementwise, FiniteOnly))  # of Elementwise they have the integrals alone
    assert "Finite networks alone" in text or not issubclass(op, FiniteOnly)
    if issubclass(op, Elementwise):
        assert "E[phi phi]" in text
        assert "phi(x) =" in text
        assert "K' = E[phi(u) phi(v)]" in documentation(Elementwise)


@pytest.mark.parametrize("op", KERNEL_OPS.values(), ids=KERNEL_OPS)
def test_kernel_ops_are_documented(op: type[Any]) -> None:
    """Protects readers of the IR."""
    assert len(documentation(op)) >= 15


@pytest.mark.parametrize("pass_", PASSES.values(), ids=PASSES)
def test_passes_say_what_they_need_do_and_leave(pass_: type[Any]) -> None:
    """Protects whoever writes a pipeline."""
    text = documentation(pass_)
    assert all(word in text for word in ("Needs:", "Does:", "Leaves:"))


def documentation(thing: Any) -> str:
    """The docstring of a class itself, not one that it inherits or that a decorator made."""
    text = thing.__doc__ or ""
    assert not text.startswith(f"{thing.__name__}("), f"{thing.__name__} has no docstring"
    return text


def covered(cls: type[Any], table: Any) -> bool:
    """Whether the class or one it is derived from has a row."""
    return any(base in table for base in cls.__mro__)


def test_tables_are_complete() -> None:
    """Protects ops from being added halfway: a forward pass for every layer, an emitter for every kernel op,
    integrals for every nonlinearity; and no row for what is not an op."""
    assert [op.name for op in TENSOR_OPS.values() if not covered(op, FORWARD)] == []
    assert set(EMITTERS) == set(KERNEL_OPS.values())
    activations = [op for op in TENSOR_OPS.values() if issubclass(op, Elementwise)]
    assert [op.name for op in activations if not covered(op, FAMILIES)] == []
    defined = (*TENSOR_OPS.values(), GivenActivation, Kinked, PowerLaw)  # which are in no front end
    assert all(any(issubclass(op, row) for op in defined) for row in (*FORWARD, *FAMILIES))


def test_the_builder_has_every_layer() -> None:
    """Protects the builder: every layer under its own name, with its own documentation."""
    for name, op in TENSOR_OPS.items():
        assert callable(getattr(nn, name))
        assert op in JOINS or getattr(nn, name).__doc__ == op.__doc__


def test_names_are_those_of_the_classes() -> None:
    """Protects the registries: every concrete op is in one, under its own name."""
    for table in (TENSOR_OPS, KERNEL_OPS, PASSES):
        assert all(name == cls.name for name, cls in table.items())
    assert not set(TENSOR_OPS) & set(KERNEL_OPS)


@pytest.mark.parametrize("extreme", [False, True], ids=["computed", "written"])
def test_random_networks_hold_every_op(extreme: bool) -> None:
    """Protects the random tests: every layer is among those that a step of a random network, of those that are computed
    or those that are only written, is drawn from, and fits into a network there; but for `aggregate`, whose patterns
    belong to the inputs: `tests/test_aggregate.py` has those; and for layers without a rule."""
    wanted = {op for op in TENSOR_OPS.values() if extreme or not issubclass(op, ONE_DEEP)} - {
        ops.Aggregate,
        ops.Mask,
        *FINITE,
    }
    drawn = [(kind, op) for kind, classes in families(extreme).items() for op in classes]
    assert {op for _, op in drawn} == wanted
    for kind, op in drawn:
        find(graphs_of_step(kind, op, extreme), partial(holds, classes=(op,)), settings=FIRST)


@pytest.mark.parametrize("extreme", [False, True], ids=["computed", "written"])
def test_random_networks_hold_every_family(extreme: bool) -> None:
    """Protects the random tests: steps of every kind, and masks, occur in the networks that are drawn."""
    for classes in (*families(extreme).values(), (ops.Mask,)):
        find(tensor_graphs(extreme=extreme), partial(holds, classes=tuple(classes)), settings=FIRST)


FIRST = settings(phases=[Phase.generate], max_examples=300, database=None, derandomize=True)
"""The first graph that is found will do."""


def holds(graph: Graph, classes: tuple[type[Any], ...]) -> bool:
    """Whether an op of one of the classes is in the graph."""
    return any(type(node.op) in classes for node in graph.nodes)


def room(module: str) -> str:
    """The part of the package a module belongs to: `ir` of ntc.ir.graph."""
    return [*module.split("."), ""][1]


def imports(tree: ast.AST) -> Iterator[str]:
    """Modules that a file imports, also inside functions, but not for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imports(node)


def module_of(path: Path) -> str:
    """Name of the module in a file."""
    return MODULES[FILES.index(path)]


@by_file
def test_imports_point_one_way(path: Path) -> None:
    """Protects the structure: errors, ir, then front ends, passes and backends, which do not know each other."""
    own = room(module_of(path))
    used = {room(name) for name in imports(ast.parse(path.read_text())) if name.startswith("ntc.")}
    if own in MAY_IMPORT:
        assert used <= MAY_IMPORT[own]


@by_file
def test_rooms_of_the_backend_point_one_way(path: Path) -> None:
    """Protects the structure within the backend."""
    own = path.parent.name
    if own not in WITHIN_BACKEND or "jax" not in path.parent.parts:
        return
    used = {name.split(".")[3] for name in imports(ast.parse(path.read_text())) if name.startswith("ntc.backends.jax.")}
    assert used <= WITHIN_BACKEND[own]


@by_file
def test_only_backends_and_what_stands_above_import_jax(path: Path) -> None:
    """Protects the compiler from the library it compiles to; and public JAX modules only."""
    used = set(imports(ast.parse(path.read_text())))
    if room(module_of(path)) not in MAY_IMPORT_JAX:
        assert not [name for name in used if name.split(".")[0] in ("jax", "jaxlib")]
    private = ("jax._src", "jax.core", "jax.interpreters", "jax.lib", "jaxlib", "pickle")
    assert not [name for name in used if name.startswith(private)]


@by_file
def test_files_and_functions_are_short(path: Path) -> None:
    """Protects reading: a file is one thing, a function fits on a screen."""
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_FILE
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno is not None}
    assert {name: lines for name, lines in long.items() if lines > LONGEST_FUNCTION} == {}


@pytest.mark.parametrize("module", [name for name in MODULES if not name.endswith("__main__")])
def test_public_names_are_documented(module: str) -> None:
    """Protects readers: modules that hold something, their public functions and classes have docstrings."""
    try:
        loaded = import_module(module)
    except InputError as missing:
        pytest.skip(f"{missing}; test_adapters looks at those")
    own = [thing for name, thing in vars(loaded).items() if not name.startswith("_") and defined_in(thing, loaded)]
    assert loaded.__doc__ or not own
    assert [thing.__name__ for thing in own if not inspect.getdoc(thing)] == []


def defined_in(thing: Any, module: ModuleType) -> bool:
    """Whether a function or class is defined in a module."""
    return (inspect.isfunction(thing) or inspect.isclass(thing)) and thing.__module__ == module.__name__


def loaded_by(statement: str) -> set[str]:
    """Modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import ntc",
        "import ntc.ir.verify, ntc.ir.parser, ntc.ir.json, ntc.frontend.nn, ntc.passes.pipeline",
        "import ntc.backends.reference, ntc.compiler, ntc.artifact, ntc.cli.main",
    ],
)
def test_the_compiler_loads_no_jax(statement: str) -> None:
    """Protects start-up time and the order of the rooms: everything up to the kernel IR runs without JAX."""
    assert not {name for name in loaded_by(statement) if name.split(".")[0] in ("jax", "jaxlib", "scipy")}


def test_importing_ntc_loads_little() -> None:
    """Protects `import ntc`, which is to be cheap: nothing but itself and the standard library."""
    assert {name for name in loaded_by("import ntc") if name.startswith("ntc")} == {"ntc"}
    assert not {"numpy", "pydantic", "lark", "networkx"} & loaded_by("import ntc")


def test_loading_programs_does_not_start_a_device() -> None:
    """Protects other users of the accelerator: memory is taken when a program runs, not when it is imported."""
    code = (
        "import jax, ntc.backends.jax.program, ntc.backends.jax.run.export, ntc.backends.jax.finite\n"
        "jax.config.update('jax_platforms', 'no_such_platform')\n"
        "try:\n    jax.devices()\nexcept RuntimeError:\n    print('not started')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "not started"


def test_every_public_name_is_importable() -> None:
    """Protects the lazy names of the package: each exists, and an unknown one is an AttributeError."""
    assert set(ntc.__all__) <= set(dir(ntc))
    for name in ntc.__all__:
        assert getattr(ntc, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ntc.nothing  # noqa: B018


def test_names_in_the_pages_exist() -> None:
    """Protects scripts written from the pages: every `ntc.name` in them is there, and each that is a module, as all in
    the package are, can be imported as one: `import ntc.nn`, `from ntc.nn import dense`."""
    pages = [PACKAGE.parent / "README.md", *(PACKAGE.parent / "docs").rglob("*.md")]
    named = {name for page in pages for name in re.findall(r"\bntc\.(\w+)", page.read_text())} - {"NAME"}
    modules = {x for x in {*ntc.__all__, *named} if not hasattr(ntc, x) or isinstance(getattr(ntc, x), ModuleType)}
    assert {"errors", "estimators", "finite", "nn", "predict", "stax"} <= modules
    code = [f"import ntc.{x}; assert ntc.{x} is sys.modules['ntc.{x}']" for x in sorted(modules)]
    subprocess.run([sys.executable, "-c", "\n".join(["import sys", *code, "from ntc.nn import dense"])], check=True)


def test_mutations_fit_the_code() -> None:
    """Protects `tools/mutate.py` from going stale: what a mutation replaces is there, once."""
    stale = [x.breaks for x in mutate.MUTATIONS if (PACKAGE.parent / x.file).read_text().count(x.old) != 1]
    assert stale == []
