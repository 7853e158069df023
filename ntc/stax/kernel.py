"""The `kernel_fn` of `ntc.stax`: compiles the network for the shapes it is given, once, and runs the program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp

from ntc.errors import InputError, ParameterError
from ntc.finite.arguments import second_of
from ntc.ir.named import answered, names_of
from ntc.ir.types import Kernel as KernelName
from ntc.stax.compiled import Compiled, precision, shapes_of, without_examples
from ntc.stax.compose import Composition, divided, has_custom, is_kernels, takes_pattern
from ntc.stax.covariances import Kernel
from ntc.stax.layout import LAST, Axes
from ntc.stax.masked import marked, masked_kernels
from ntc.stax.part import OfPart, Part, layouts, singles

KERNELS: tuple[KernelName, ...] = ("nngp", "ntk")
FIELDS = tuple(field.name for field in fields(Kernel))
_ALL = frozenset(FIELDS)
_WITHOUT_NTK = _ALL - {"ntk"}


class KernelFunction(OfPart):
    """`kernel_fn(x1, x2=None, get=None, ...)`: the kernels of one network.

    A program is compiled when a shape of examples, precision or choice of kernels is first seen, and kept. The pairs of
    examples are split over `devices` devices.
    """

    def __init__(self, part: Part, devices: int = 1) -> None:
        super().__init__(part)
        self.devices = devices
        self._hyper = {name: value for single in singles(part) for name, value in single.hyper.items()}
        self._programs: dict[object, Compiled] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """What is compiled is made again where it is unpickled."""
        return KernelFunction, (self.part, self.devices)

    def __call__(
        self,
        x1: Any = None,
        x2: Any = None,
        get: str | Sequence[str] | None = None,
        *,
        x1_or_kernel: Any = None,
        pattern: tuple[Any, Any] | None = None,
        mask_constant: float | None = None,
        diagonal_batch: bool | None = None,
        diagonal_spatial: bool | None = None,
        batch_axis: int = 0,
        channel_axis: int = -1,
        **ignored: Any,
    ) -> Any:
        """The kernels between all examples of x1 and all of x2 (default: x1).

        Args:
          x1, x2: arrays with axes where the layers say they are, or tuples of them for a network of several inputs. Or,
            as x1 alone, the `Kernel` of the inputs, or a tuple of them, from which the network goes on. None in the
            place of an input of x2 is that of x1.
          get: the name of a field of `Kernel`, in any case, as "nngp" or "ntk", for one matrix; a tuple of them for a
            namedtuple with these names; None for a `Kernel` with all.
          x1_or_kernel: another name of x1.
          pattern: graphs of the examples of x1 and of x2, for `Aggregate`.
          mask_constant: entries of this value are missing.
          diagonal_batch: where false, `cov1` and `cov2` are of all pairs of examples of x1, and of x2.
          diagonal_spatial: where true, of a result that keeps positions each with itself alone, (n1, n2, H, W).
          batch_axis, channel_axis: of the inputs, where no layer says.
          ignored: whatever else layers of one's own take.

        Raises:
          ParameterError: `get` is something else.
          NtcError: the network does not fit the arrays.
        """
        wanted = _wanted(get)
        x1 = given_once(x1, x1_or_kernel)
        x2 = second_of(x1, x2)
        call = _Call(pattern, mask_constant, (batch_axis, channel_axis), ignored)
        found = self._found(x1, x2, wanted, call)
        if diagonal_batch is False and not wanted <= set(KERNELS) and not is_kernels(x1):
            found = self._of_all_examples(found, x1, x2, call)
        return chosen(found, get, bool(diagonal_spatial))

    def _found(self, x1: Any, x2: Any, wanted: frozenset[str], call: _Call) -> Any:
        """A Kernel, or `Kernels` where nothing else is wanted; or a nested tuple of them."""
        if is_kernels(x1):
            if x2 is not None:
                raise InputError("a Kernel is of x1 and x2 both: x2 should be None")
            return self._composition(x1, **call.keywords)
        if self._is_composed:
            first, rest = self._divided
            placed = self.part.placed
            axes = placed if placed is not None and isinstance(placed[0], int) else call.axes
            pattern = call.pattern if takes_pattern(first.part) else None
            arrays = replace(call, axes=axes, pattern=pattern)
            below = first._found(x1, x2, _ALL if "ntk" in wanted else _WITHOUT_NTK, arrays)
            return rest(below, **call.keywords)
        return self._of_arrays(x1, x2, wanted, call)

    def _of_arrays(self, x1: Any, x2: Any, wanted: frozenset[str], call: _Call) -> Any:
        """From the program."""
        alone = wanted <= set(KERNELS)
        kernels = tuple(kernel for kernel in KERNELS if kernel in wanted or (kernel == "nngp" and not alone))
        constant = call.mask_constant
        if constant is not None:
            constant, (x1, x2) = marked(constant, (x1, x2), precision())
        compiled = self.compiled(x1, x2, kernels, constant, call.axes)
        if alone:
            return compiled(x1, x2, call.pattern, self._hyper)
        found = compiled.kernels(x1, x2, call.pattern, self._hyper)
        return found if constant is None else masked_kernels(found, compiled.facts, x1, x2, compiled.layout, constant)

    def _of_all_examples(self, found: Any, x1: Any, x2: Any, call: _Call) -> Any:
        """With cov1 and cov2 of all pairs of examples."""
        patterns = call.pattern or (None, None)
        own = [
            None if x is None else self._found(x, None, frozenset(["nngp"]), replace(call, pattern=(graphs, graphs)))
            for x, graphs in zip((x1, x2), patterns, strict=True)
        ]
        return _with_covariances(found, *own)

    @cached_property
    def _is_composed(self) -> bool:
        """Whether layers of users are among those of the network."""
        return has_custom(self.part)

    @cached_property
    def _composition(self) -> Composition:
        return Composition(self.part)

    @cached_property
    def _divided(self) -> tuple[KernelFunction, Composition]:
        """From arrays up to the first layer of a user, and what comes then."""
        first, rest = divided(self.part)
        return KernelFunction(first, self.devices), Composition(rest)

    def on_devices(self, devices: int) -> KernelFunction:
        """The same kernels, computed on so many devices."""
        return self if devices == self.devices else KernelFunction(self.part, devices)

    def compiled(
        self,
        x1: Any,
        x2: Any = None,
        kernels: tuple[KernelName, ...] = KERNELS,
        mask_constant: float | None = None,
        axes: Axes = LAST,
    ) -> Compiled:
        """The program for inputs of these shapes. Raises NtcError where the network does not fit them."""
        shapes = shapes_of(x1)
        layout = layouts(shapes, self.part.placed or axes)
        shapes = without_examples(shapes, layout)
        dtype = precision()
        key = (shapes, axes, dtype, kernels, repr(mask_constant))
        if key not in self._programs:
            self._programs[key] = Compiled.of(
                self.part, shapes, mask_constant, axes, kernels=kernels, dtype=dtype, devices=self.devices
            )
        return self._programs[key]


@dataclass(frozen=True)
class _Call:
    """What a call was given besides inputs and `get`."""

    pattern: tuple[Any, Any] | None
    mask_constant: Any
    axes: Axes
    others: dict[str, Any]

    @property
    def keywords(self) -> dict[str, Any]:
        """For layers of users."""
        return self.others if self.pattern is None else {**self.others, "pattern": self.pattern}


def given_once(x1: Any, x1_or_kernel: Any) -> Any:
    """The inputs, which have two names. Raises InputError unless one of them is given."""
    if (x1 is None) == (x1_or_kernel is None):
        raise InputError("kernel_fn needs x1, by one of its names x1 and x1_or_kernel")
    return x1 if x1_or_kernel is None else x1_or_kernel


def _wanted(get: str | Sequence[str] | None) -> frozenset[str]:
    """The names of fields. Raises ParameterError."""
    found = frozenset(names_of(get, FIELDS))
    if not found or not found <= set(FIELDS):
        raise ParameterError(
            f"get should be a field of a Kernel, a tuple of them, or None; got {get!r:.60}", hint=", ".join(FIELDS)
        )
    return found


def are_matrices(get: str | Sequence[str] | None) -> bool:
    """Whether all that `get` asks for is between x1 and x2. Raises ParameterError for what is not in a Kernel."""
    return get is not None and _wanted(get) <= set(KERNELS)


def chosen(kernels: Any, get: str | Sequence[str] | None, diagonal: bool = False) -> Any:
    """What `get` asks for, of every result of a network."""
    if isinstance(kernels, tuple):
        return tuple(chosen(one, get, diagonal) for one in kernels)
    if diagonal:
        kernels = _own_positions_of(kernels)
    if get is None:
        return kernels
    return answered("AnalyticKernel", get, (), {name: getattr(kernels, name) for name in _wanted(get)})


def _with_covariances(kernels: Any, own1: Any, own2: Any) -> Any:
    """Kernels with those of the examples of x1, and of x2 if there are such, in place of cov1 and cov2."""
    if isinstance(kernels, tuple):
        seconds = (None,) * len(kernels) if own2 is None else own2
        return tuple(_with_covariances(*each) for each in zip(kernels, own1, seconds, strict=True))
    cov2 = None if own2 is None else own2.nngp
    return kernels.replace(cov1=own1.nngp, cov2=cov2, diagonal_batch=False)


def _own_positions_of(kernels: Any) -> Any:
    """Without the covariances of different positions."""
    if not isinstance(kernels, Kernel):
        return jax.tree.map(partial(own_positions, first=2), kernels)
    return kernels if kernels.diagonal_spatial else kernels.of_own_positions(own_positions)


def own_positions(matrix: Any, first: int) -> Any:
    """Entries (n1, n2, H, W) of each position with itself, of (n1, n2, H, H, W, W), behind `first` axes of examples."""
    letters = "abc"[: (matrix.ndim - first) // 2]
    batch = "nm"[:first]
    return jnp.einsum(f"{batch}{''.join(letter * 2 for letter in letters)}->{batch}{letters}", matrix)
