"""What stands for kernels: matrices, objects that hold an NNGP and an NTK, programs, and functions of inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from ntc.backends.jax.concrete import is_traced
from ntc.backends.jax.program import Program
from ntc.errors import InputError
from ntc.ir.named import Get, asked
from ntc.ir.named import answered as named_answers
from ntc.predict.arithmetic import checked

Regime = Literal["nngp", "ntk", "ntkgp"]
KernelFn = Callable[..., Any]
"""Called with (x1, x2, get, **keywords), x2 = None for x1 with itself and get = "nngp", "ntk" or a tuple of them."""

REGIMES: tuple[Regime, ...] = get_args(Regime)
BOTH: tuple[Regime, ...] = ("nngp", "ntk")


def answered(get: Get, allowed: tuple[Regime, ...], answer: Callable[[Any], Any]) -> Any:
    """The answer for one regime, or a named tuple of the answers for several. Raises InputError."""
    wanted = asked(get, allowed, BOTH)
    return named_answers("Gaussians", get, BOTH, {name: answer(name) for name in wanted})


def component(kernels: Any, name: str, role: str) -> Any:
    """The NNGP or NTK of what was given for a kernel: an array stands for either. Raises InputError if it lacks it."""
    if not _holds_kernels(kernels):
        return kernels
    found = getattr(kernels, name, None)
    if found is None:
        raise InputError(f"{role} has no {name} kernel", hint="compute both: a program is built with both kernels")
    return found


def _holds_kernels(kernels: Any) -> bool:
    return hasattr(kernels, "nngp") or hasattr(kernels, "ntk")


def single(kernels: Any, name: Literal["nngp", "ntk"], role: str) -> tuple[Any, str | None]:
    """The one matrix of what was given for it, and its name: of an object with kernels the one called `name`, or the
    other if that is not there. The name of an array is None."""
    if not _holds_kernels(kernels):
        return checked(role, kernels), None
    other = "ntk" if name == "nngp" else "nngp"
    chosen = other if getattr(kernels, name, None) is None else name
    return checked(role, component(kernels, chosen, role)), chosen


def alike(kernels: Any, name: str | None, role: str) -> Any:
    """The kernel of that name, to go with another one. Raises InputError where it is not known which that is."""
    if _holds_kernels(kernels) and name is None:
        raise InputError(
            f"{role} has several kernels, but k_train_train is one matrix", hint="give the same kernel of both, as .ntk"
        )
    return checked(role, component(kernels, name or "", role))


def kernel_function(kernel_fn: Any) -> KernelFn:
    """A program or any kernel function as one that is called with (x1, x2, get, **keywords)."""
    if isinstance(kernel_fn, Program):
        return ProgramFunction(kernel_fn)
    if not callable(kernel_fn):
        raise InputError(f"kernel_fn should be a program or a function, got {type(kernel_fn).__name__}")
    function: KernelFn = kernel_fn
    return function


class ProgramFunction:
    """A program as a function of (x1, x2, get, **keywords).

    Keywords are those of the program; `mask` and `pattern` may be given as pairs, for x1 and for x2.
    """

    def __init__(self, program: Program) -> None:
        self._program = program

    def __call__(self, x1: Any, x2: Any = None, get: Any = None, **keywords: Any) -> Any:
        for name in ("mask", "pattern"):
            if name in keywords:
                first, second = keywords.pop(name)
                keywords |= {f"{name}1": first, f"{name}2": None if x2 is None else second}
        missing = {name for name in asked(get, BOTH, ()) if name not in self._program.kernels} if get else set()
        if missing:
            raise InputError(
                f"the program does not compute the {' and the '.join(sorted(missing))} kernel",
                hint="build it with both kernels",
            )
        return self._program(x1, x2, **keywords)


def test_train_keywords(test: Mapping[str, Any], train: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords for the kernel between test and training inputs.

    Of pairs, the first part is that of the only inputs of a kernel of test or training inputs with themselves, so that
    the pair of both first parts is that of test with training inputs. Anything else must be equal for both; raises
    InputError.
    """
    merged = dict(train)
    for name, value in test.items():
        if name not in train or _equal(value, train[name]):
            merged[name] = value
        elif _is_pair(value) and _is_pair(train[name]):
            merged[name] = (value[0], train[name][0])
        else:
            raise InputError(
                f"keyword {name} of kernel_fn differs between training and test inputs",
                hint="give pairs, whose first part belongs to the inputs of the call",
            )
    return merged


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2


def _equal(one: Any, other: Any) -> bool:
    """Whether two values are one object, or trees of equal arrays."""
    if one is other:
        return True
    structures: list[Any] = [jax.tree.structure(tree) for tree in (one, other)]
    if structures[0] != structures[1]:
        return False
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(a is b or (not is_traced((a, b)) and np.array_equal(_numbers(a), _numbers(b))) for a, b in pairs)


def _numbers(leaf: Any) -> Any:
    """Of a key its bits, else what it is."""
    is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf
