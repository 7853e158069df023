"""A nonlinearity of which somebody gives the Gaussian integrals as functions, and nothing else is known."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import InstanceOf

from ntc.ir.given_function import GivenFunction
from ntc.ir.op import Array
from ntc.ir.ops.activation import Elementwise
from ntc.ir.schema import frozen


@frozen
class GivenActivation(Elementwise):
    """phi of which E[phi phi] and E[phi' phi'] are given functions of (K, v1, v2), which are trusted.

    It is not a layer of the language, and no file can hold it. Source: definition; the second is the derivative of the
    first by K (Price 1958), which whoever makes the op gives as well.

    Parameters: nngp_fn, d_nngp_fn, the functions.
    """

    name: ClassVar[str] = "given_activation"
    nngp_fn: InstanceOf[GivenFunction]
    d_nngp_fn: InstanceOf[GivenFunction]

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        return _entries(self.nngp_fn, k, v1, v2)

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        return _entries(self.d_nngp_fn, k, v1, v2)


def _entries(function: GivenFunction, *arrays: Array) -> Array:
    return np.asarray(function.call(*np.broadcast_arrays(*arrays)), np.float64)
