"""What stands for kernels: matrices, objects that hold an NNGP and an NTK, programs, and functions of inputs."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

from ntc.backends.jax.program import Program
from ntc.errors import InputError

Regime = Literal["nngp", "ntk", "ntkgp"]
Get = str | Sequence[str] | None
KernelFn = Callable[..., Any]
"""Called with (x1, x2, get, **keywords), x2 = None for x1 with itself and get = "nngp", "ntk" or a tuple of them."""

REGIMES: tuple[Regime, ...] = get_args(Regime)


def answered(get: Get, allowed: Sequence[str], answer: Callable[[Any], Any]) -> Any:
    """The answer for one regime, or a named tuple of the answers for several. Raises InputError."""
    wanted = (get,) if isinstance(get, str) else ("nngp", "ntk") if get is None else tuple(get)
    unknown = [name for name in wanted if name not in allowed]
    if unknown or not wanted:
        raise InputError(f"get should be {', '.join(allowed)}, or a tuple of them, got {get!r}")
    if isinstance(get, str):
        return answer(get)
    if len(set(wanted)) < len(wanted):
        raise InputError(f"get names a kernel twice: {get!r}")
    return namedtuple("Gaussians", wanted)(*map(answer, wanted))


def component(kernels: Any, name: str, role: str) -> Any:
    """The NNGP or NTK of what was given for a kernel: an array stands for either. Raises InputError if it lacks it."""
    if not (hasattr(kernels, "nngp") or hasattr(kernels, "ntk")):
        return kernels
    found = getattr(kernels, name, None)
    if found is None:
        raise InputError(f"{role} has no {name} kernel", hint="compute both: a program is built with both kernels")
    return found


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
        missing = {get} if isinstance(get, str) else set(get or ())
        missing -= set(self._program.kernels)
        if missing:
            raise InputError(
                f"the program does not compute the {' and the '.join(sorted(missing))} kernel",
                hint="build it with both kernels",
            )
        return self._program(x1, x2, **keywords)


def test_train_keywords(test: Mapping[str, Any], train: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords for the kernel between test and training inputs.

    Of pairs, the first part is that of the test inputs, the second that of the training inputs. Anything else must be
    equal for both; raises InputError.
    """
    merged = dict(train)
    for name, value in test.items():
        if name in train and isinstance(value, tuple) and isinstance(train[name], tuple):
            merged[name] = (value[0], *train[name][1:])
        elif name in train and value is not train[name] and value != train[name]:
            raise InputError(f"keyword {name} of kernel_fn differs between training and test inputs")
        else:
            merged[name] = value
    return merged
