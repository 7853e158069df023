"""Real parameters of layers: numbers, or traced, so that kernels can be differentiated by them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from ntc import nn
from ntc.backends.jax.concrete import is_traced
from ntc.errors import ParameterError
from ntc.frontend.layers import Layer as GraphLayer
from ntc.stax.combinators import Layer, single
from ntc.stax.layout import Axes

_NUMBERS = count()
"""Two layers with traced parameters have two hyperparameters."""


@dataclass(frozen=True)
class Tuned:
    """Parameters of an op.

    Attributes:
      parameters: by name; what is traced is a hyperparameter.
      hyper: the values of hyperparameters, by their names.
    """

    parameters: dict[str, Any]
    hyper: dict[str, Any]

    @classmethod
    def of(cls, **given: Any) -> Tuned:
        """Of numbers, arrays of one, and tuples of these. Raises ParameterError for anything else."""
        hyper: dict[str, Any] = {}

        def parameter(name: str, value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(parameter(name, one) for one in value)
            if value is None or isinstance(value, str) or np.shape(value) not in ((), (1,)):
                raise ParameterError(f"{name} should be one number, got {_shown(value)}")
            if not is_traced(value):
                return _number(name, value)
            label = f"{name}_{next(_NUMBERS)}"
            hyper[label] = value.reshape(())
            return nn.hyper(1.0, label)

        return cls({name: parameter(name, value) for name, value in given.items()}, hyper)


def tuned(name: str, make: Callable[..., GraphLayer], axes: Axes | None = None, **parameters: Any) -> Layer:
    """The layer of one op of `ntc.nn` with these real parameters."""
    given = Tuned.of(**parameters)
    return single(name, make(**given.parameters), axes, given.hyper)


def _number(name: str, value: Any) -> float:
    try:
        return float(np.asarray(value, np.float64).item())
    except (TypeError, ValueError):
        raise ParameterError(f"{name} should be one number, got {_shown(value)}") from None


def _shown(value: Any) -> str:
    shape = np.shape(value) if isinstance(value, np.ndarray) or hasattr(value, "shape") else ()
    return f"an array of shape {shape}" if shape else f"{value!r:.60}"
