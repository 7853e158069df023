"""`kernel_fn` where it is not one program: given kernels, or with layers that have a `kernel_fn` of their own."""

from __future__ import annotations

from typing import Any

import jax

from ntc.errors import InputError, UnsupportedError
from ntc.stax.compiled import precision_of
from ntc.stax.covariances import Kernel
from ntc.stax.custom import Custom, shaped
from ntc.stax.given import Continued, Kernels, leaves
from ntc.stax.part import Chain, Parallel, Part, Repeat, singles


def has_custom(part: Part) -> bool:
    """Whether a layer in the part has a `kernel_fn` of its own."""
    match part:
        case Chain() | Parallel():
            return any(map(has_custom, part.parts))
        case Repeat():
            return has_custom(part.part)
    return isinstance(part, Custom)


def is_kernels(x: Any) -> bool:
    """Whether it is a Kernel, or a tuple with one in it."""
    return isinstance(x, Kernel) or (isinstance(x, tuple | list) and any(map(is_kernels, x)))


class Composition:
    """The kernels of a part from those of its inputs. What is compiled between layers of users is kept."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self._continued: dict[object, Continued] = {}
        self._pieces: dict[Part, tuple[Part, ...]] = {}

    def __call__(self, kernels: Kernels, **kwargs: Any) -> Kernels:
        """Raises NtcError where the part does not fit; `kwargs` are for layers of users."""
        return self._apply(self.part, kernels, kwargs)

    def _apply(self, part: Part, kernels: Kernels, kwargs: dict[str, Any]) -> Kernels:
        match part:
            case Custom():
                return shaped(part, kernels, _checked(part, part.kernel(kernels, **kwargs)))
            case _ if not has_custom(part):
                return self._continue(part, kernels)
            case Chain():
                for piece in self._pieces.setdefault(part, pieces(part)):
                    kernels = self._apply(piece, kernels, kwargs)
                return kernels
            case Parallel():
                return tuple(self._apply(inner, own, kwargs) for inner, own in part.pairs(kernels))
            case Repeat():
                for _ in range(part.count):
                    kernels = self._apply(part.part, kernels, kwargs)
                return kernels
        raise AssertionError(part)

    def _continue(self, part: Part, kernels: Kernels) -> Kernels:
        every = leaves(kernels)
        if not all(isinstance(kernel, Kernel) for kernel in every):
            raise InputError("x1 should be arrays or kernels, not both")
        shapes = [tuple(kernel.nngp.shape[:2]) for kernel in every]
        if len(set(shapes)) != 1:
            raise InputError(f"kernels of different numbers of examples: {shapes}")
        dtype = precision_of([kernel.nngp for kernel in every])
        known, structure = jax.tree.flatten(jax.tree.map(lambda x: x.shape, kernels), is_leaf=_is_shape)
        key = part, dtype, structure, tuple(known)
        if key not in self._continued:
            self._continued[key] = Continued(part, kernels, dtype)
        hyper = {name: value for single in singles(part) for name, value in single.hyper.items()}
        return self._continued[key](kernels, hyper)


def pieces(chain: Chain) -> tuple[Part, ...]:
    """A chain cut before and after layers of users; what is between them is together, so that it is compiled as one."""
    found: list[list[Part]] = [[]]
    for part in chain.parts:
        if has_custom(part):
            found += [[part], []]
        else:
            found[-1].append(part)
    return tuple(each[0] if len(each) == 1 else Chain(chain.name, tuple(each)) for each in found if each)


def divided(part: Part) -> tuple[Part, Part]:
    """What is computed from arrays, as a program, and what goes on from there with kernels."""
    first, *others = pieces(part) if isinstance(part, Chain) else (part,)
    if has_custom(first):
        first, others = Chain("Identity", ()), [first, *others]
    return first, Chain(part.name, tuple(others))


def refuse_masks(mask_constant: Any, pattern: Any) -> None:
    """Raises UnsupportedError where values depend on more than kernels."""
    if mask_constant is not None or pattern is not None:
        raise UnsupportedError("masks and patterns together with kernels in place of inputs, or layers of users")


def _checked(part: Custom, result: Any) -> Any:
    if not is_kernels(result):
        raise InputError(f"the kernel_fn of {part.name} should return a Kernel, got {type(result).__name__}")
    return result


def _is_shape(x: Any) -> bool:
    return isinstance(x, tuple) and all(isinstance(size, int) for size in x)
