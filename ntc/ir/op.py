"""What an op is, in each of the two graphs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from ntc.errors import UnsupportedError, VerifyError
from ntc.ir.activation import Activation
from ntc.ir.common import Common, Operand, refuse, without_rule
from ntc.ir.hyper import Hyper
from ntc.ir.offsets import Offsets
from ntc.ir.sliding import Sliding, Strided
from ntc.ir.types import CovarianceType, Distribution, DType, Form, Spatial, TensorType, Type
from ntc.ir.work import Work

MANY = 2**31
"""Greatest number of operands of an op that takes any number."""

Array = npt.NDArray[np.float64]
OffsetsPerAxis = tuple[Offsets, ...]


class Op(ABC):
    """A frozen dataclass of parameters with a name; parameters validate themselves."""

    name: ClassVar[str]


Lanes = Literal["none", "same", "pooled", "removed", "mixed"]
"""Which lanes of its operands a lane of a value is computed from: none, as they have no positions; the one that holds
the same offsets, or those under the taps of a filter; lanes along every axis that a pooling reads; all, so that none
are left; or any."""

Interval = tuple[int, int]
"""Positions from the first up to, without, the second."""

Intervals = tuple[Interval, ...]
"""One per spatial axis."""


class KernelOp(Op):
    """An operation on covariance functions.

    What passes, plan, price and backends ask of an op, it answers itself. Questions whose wrong answer would be a wrong
    number have no default here; the families of `ntc.ir.kernel.families` answer what follows from being of that family.
    """

    arity: ClassVar[tuple[int, int]] = (1, 1)
    """Least and greatest number of operands."""

    lanes: ClassVar[Lanes]
    """Which lanes of the operands a lane of the result is computed from."""

    rereads: ClassVar[bool]
    """Whether an entry of an operand is read for several entries of the result, by a computation into which that of the
    operand could be fused: not by a product of matrices."""

    integral: ClassVar[bool]
    """Whether the operands behind the first are marginals, which are read at p and at p' and in no lane."""

    derivative: ClassVar[bool]
    """Whether what is integrated is the derivative of a nonlinearity."""

    temporaries: ClassVar[int]
    """Arrays of the size of the result that there are at once while it is computed whole, the result among them."""

    @abstractmethod
    def result(self, *operands: Type) -> CovarianceType:
        """Type of the result with every offset tracked. Raises VerifyError if the operands do not fit."""

    @abstractmethod
    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        """Offsets of every operand that are read to compute the result at `offsets`."""

    @abstractmethod
    def slides(self, spatial: Spatial) -> tuple[Sliding | None, ...] | None:
        """How positions of an operand of these sizes move with those of the result: per axis the geometry of a filter,
        None where they are the same positions; None altogether where neither is so."""

    @property
    def filters(self) -> bool:
        """Whether a lane is computed from one lane, of the entries under the taps of a filter."""
        return self.lanes == "same" and self.rereads

    @property
    @abstractmethod
    def elementary(self) -> bool:
        """Whether every entry is computed alike, whichever it is, by arithmetic, roots and exponentials: so that the op
        fits into a kernel that computes whole layers."""

    @property
    @abstractmethod
    def steep(self) -> bool:
        """Whether the slope of an integral is infinite where examples are equal: there, of a covariance that is an
        error of eps off, the result is sqrt(eps) off."""

    @property
    @abstractmethod
    def large(self) -> bool:
        """Whether a value with positions is stored even for one reader: the op is more arithmetic per entry than XLA
        keeps in one computation."""

    @property
    @abstractmethod
    def reading(self) -> KernelOp | None:
        """What tells how arrays of examples are read for products of them, equal for ops that read the same; None if
        they are not."""

    @abstractmethod
    def typed(self, dtype: DType, batch: tuple[str, ...]) -> KernelOp:
        """The op for values of this type between these examples, where its own parameters name them."""

    @abstractmethod
    def positions_below(self, wanted: Intervals, spatial: Spatial) -> Intervals | None:
        """Positions of an operand of these sizes that are read for those `wanted` of the result, per axis; None if the
        op reads and computes all."""

    @abstractmethod
    def cropped(self, kept: Intervals, below: Intervals, spatial: Spatial) -> KernelOp:
        """The op that computes the positions `kept`, of an operand of which the positions `below` are kept, before of
        these sizes. Asked only where `positions_below` answers."""

    @abstractmethod
    def fold(self, *numbers: float | None) -> float | None:
        """The number that every entry of the result is, of operands every entry of which is this number (None: they are
        not known to be one); None if that is not known. A hyperparameter is no known number."""

    @abstractmethod
    def on_some(self, operands: Sequence[int]) -> KernelOp:
        """The op on these of its operands alone, of which the others do not matter."""

    @property
    @abstractmethod
    def neutral(self) -> float | None:
        """An operand that is this number everywhere does not matter, as long as there are others; None if any does."""

    @property
    @abstractmethod
    def identity(self) -> bool:
        """Whether the result, of one operand, is that operand."""

    @property
    @abstractmethod
    def linear_in_distances(self) -> bool:
        """Whether the op, applied to values in the distance form, gives its result in that form: it is linear, its
        result where p' = p depends on entries where p' = p, and it has a scale other than zero."""

    def form(self, *operands: CovarianceType) -> Form:
        """Form of the result. Raises VerifyError if the op does not read its operands in theirs."""
        if self.linear_in_distances:
            return same_form(self, operands)
        if any(x.form != "covariance" for x in operands):
            raise VerifyError(f"{self.name} reads covariances, not distances")
        return "covariance"

    @abstractmethod
    def giving_distance(self) -> KernelOp | None:
        """The op that gives its result in the distance form, of what stands between two examples in that form; None if
        there is none."""

    @abstractmethod
    def reading_distance(self) -> KernelOp | None:
        """The op that gives the same of its first operand in the distance form, and with more digits where examples are
        nearly equal; None if there is none."""

    @abstractmethod
    def variance_operands(self, operands: tuple[str, ...], side: int) -> tuple[str, ...] | None:
        """Those of which the op gives the variances of the first (`side` 0) or second examples, of `operands` between
        both; None if they are the variances of the operands."""

    def operations(self, *operands: Type) -> int:
        """Floating-point operations per entry of the result: what `ntc explain` counts, not a time."""
        return 0

    @abstractmethod
    def work(self, result: CovarianceType, *operands: Type) -> Work:
        """Work per entry of the result, in the units of `ntc.price`."""

    @abstractmethod
    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        """The definition, in float64 on dense arrays (*batch, H, H', W, W', ...).

        Entries that are not tracked are NaN on the way in and may be anything on the way out.
        """


@dataclass(frozen=True)
class Value:
    """A covariance, or an input array, of the kernel graph while it is being written."""

    name: str
    type: Type


@dataclass(frozen=True)
class Pair:
    """What is known of a tensor value on a pair of examples.

    Attributes:
      type: of the tensor value.
      k, t: NNGP covariance and NTK between the first and the second example.
      v1, v2: NNGP covariances of the first and of the second example with itself.
      mask, mask1, mask2: which pairs of positions are not masked, as 1 and 0, for k, v1 and v2; None without a mask.
      arrays: the input arrays of the examples; gram: of an input, the op that reads it in them, else None.
      function: of a value phi(x), phi and what is known of x; None of other values.
      learnt: of a value g_c x_c with learnt g, the part of its NTK by x_c x_c', which belongs to a channel, over K.
      law: that channels have a random part in common (`ntc.ir.common`), and
      common: the covariances of two channels, as `k`, `t`, `v1` and `v2` are those of one; None without such a part.
    """

    type: TensorType
    k: Value
    t: Value
    v1: Value
    v2: Value
    mask: Value | None = None
    mask1: Value | None = None
    mask2: Value | None = None
    arrays: tuple[Value, ...] = ()
    function: tuple[Activation, Pair] | None = None
    gram: KernelOp | None = None
    law: Common | None = None
    common: Pair | None = None
    learnt: float = 0.0

    @property
    def operand(self) -> Operand:
        """What a layer may know of the value."""
        return Operand(self.type, self.law, self.function is not None)


class Emit(Protocol):
    """Appends a kernel op and returns its value; `name` is the suffix under which it is printed."""

    def __call__(self, op: KernelOp, *operands: Value, name: str | None = None) -> Value: ...


@dataclass(frozen=True)
class Weight:
    """A parameter array of a finite network: its shape, and the standard deviation of its entries.

    `multiplier` scales the array in the forward pass. The NTK parameterisation has std 1 and the scale in the
    multiplier; the standard one the reverse (Novak et al. 2020, section B; Sohl-Dickstein et al. 2020). Training moves
    it with `learning_rate` times the rate of the network; a hyperparameter scales it, when `read` says.
    """

    shape: tuple[int, ...]
    std: float
    multiplier: float
    learning_rate: float | Hyper = 1.0
    hyper: Hyper | None = None
    read: Literal["init", "apply"] = "apply"
    mean: float = 0.0


class TensorOp(Op):
    """A layer, as a user writes it. The class is its whole definition; see `ntc/ir/ops`."""

    arity: ClassVar[int | None] = 1
    """Number of operands; None is one or more."""

    fills_masked: ClassVar[bool] = True
    """Whether masked positions, which are zero, may become anything else."""

    adds_operands: ClassVar[bool] = False
    """Whether the rules hold as well where several operands are one value, which then count once for independence."""

    independent_operands: ClassVar[bool] = False
    """Whether the rules hold only if no two operands share random weights."""

    @property
    def needs_width(self) -> bool:
        """Whether the rules hold only for inputs of infinitely many channels: those that end in random layers."""
        return False

    @property
    def needs_mean(self) -> bool:
        """Whether rules need the mean of the operand, unless channels are the data's: zero, or of a nonlinearity."""
        return False

    @property
    def draws(self) -> bool:
        """Whether the finite layer draws random numbers whenever it is applied."""
        return False

    @property
    def closed_form(self) -> bool:
        """Whether there are rules; without, the layer has finite networks only."""
        return True

    @abstractmethod
    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        """Spatial sizes and channels of the output. Raises ShapeError."""

    @abstractmethod
    def distribution(self, *xs: TensorType) -> Distribution:
        """Law of the output. Raises NotGaussianError, UnsupportedError."""

    @abstractmethod
    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        """Emits the NNGP covariance of the output."""

    @abstractmethod
    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        """Emits the NTK of the output, whose NNGP covariance is `y`."""

    def common_after(self, *xs: Operand) -> Common | None:
        """Whether channels of the output have a random part in common. Raises UnsupportedError where those of an
        operand have, and the rules do not hold for that."""
        refuse(self.name, xs)
        return None

    def without_rule(self, *xs: TensorType) -> UnsupportedError:
        """Why the output is of finite networks alone."""
        return without_rule(self.name, "its input is not Gaussian", "dense or conv before it")

    def common_nngp(self, emit: Emit, *xs: Pair) -> Value:
        """Emits the covariance of two channels of the output, where `common_after` says that there is one."""
        return self.nngp(emit, *(x.common for x in xs if x.common is not None))

    def common_ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        """Emits the NTK of two channels of the output, whose covariance is `y`."""
        return self.ntk(emit, y, *(x.common for x in xs if x.common is not None))

    def weights(self, x: TensorType) -> dict[str, Weight]:
        """Random parameters of the finite layer on the input `x`."""
        return {}

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        """Where the mask of an output position is that of an input position: which, per axis. None if the output has
        no positions left. Raises UnsupportedError if the rules do not hold for inputs of which positions are masked.
        """
        hint = "remove the mask, or this layer"
        raise UnsupportedError(f"{self.name} has no rule for inputs with masked positions", hint=hint)

    def reads(self, spatial: Spatial) -> KernelOp | None:
        """Where an output position reads several: the map that has a one for all that it reads. It is masked if all of
        them are. None if `visible` says where masks are."""
        return None

    def reached(self, emit: Emit, x: Pair) -> Value:
        """Emits sums over what an output position reads and is not masked, where `reads` gives a map."""
        rule = self.reads(x.type.spatial)
        assert rule is not None
        assert x.mask is not None
        return emit(rule, x.mask)

    @property
    def has_weights(self) -> bool:
        """Whether the output is a new random linear function of the input."""
        return False

    @property
    def keeps_channels_alike(self) -> bool:
        """Whether channels of the output are independent and of one law if those of every operand are."""
        return True

    @property
    def needs_channels_alike(self) -> bool:
        """Whether the output is Gaussian only if the channels of the operand are independent and of one law. If they
        are not, the rules give second moments, and nothing more is known of the output than that its mean is zero."""
        return False

    def learnt_after(self, below: float, law: Distribution) -> float:
        """`Pair.learnt` of the output, of an operand of this law of which it is `below`."""
        return 0.0

    def result(self, *xs: TensorType) -> TensorType:
        """Type of the output."""
        spatial, channels = self.shape(*xs)
        return TensorType(spatial, channels, self.distribution(*xs))


def covariance(value: Type) -> CovarianceType:
    """`value`, which must be a covariance."""
    if not isinstance(value, CovarianceType):
        raise VerifyError(f"expected a covariance, got {value}")
    return value


def same_form(op: KernelOp, operands: tuple[CovarianceType, ...]) -> Form:
    """The form that all operands share, of an op for which it does not matter: linear, and apart where p' = p."""
    forms = {x.form for x in operands}
    if len(forms) != 1:
        raise VerifyError(f"{op.name} takes operands of one form")
    return forms.pop()


def same_type(operands: tuple[Type, ...]) -> CovarianceType:
    """The dense type that all operands share."""
    types = {CovarianceType.dense(x.dtype, x.batch, x.spatial) for x in map(covariance, operands)}
    if len(types) != 1:
        raise VerifyError(f"expected one or more covariances of one shape, got ({', '.join(map(str, operands))})")
    return types.pop()
