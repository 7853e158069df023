"""Standard deviations of weights and biases, from values as an initialiser draws them.

Source of the names: LeCun et al. 1998 (Efficient BackProp), Glorot & Bengio 2010, He et al. 2015 (arXiv:1502.01852);
PyTorch draws weights of dense and convolutional layers uniformly with variance 1 / (3 fan-in).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt

import numpy as np

from ntc.errors import ParameterError
from ntc.importing.graph import Array, Node

DEVIATIONS = 4.0
"""Standard errors by which a measured scale may differ from one with a name that is taken for it."""

WEIGHTS: Mapping[str, Callable[[int, int], float]] = {
    "lecun": lambda fan_in, fan_out: 1.0,
    "he": lambda fan_in, fan_out: sqrt(2.0),
    "torch": lambda fan_in, fan_out: sqrt(1 / 3),
    "glorot": lambda fan_in, fan_out: sqrt(2 * fan_in / (fan_in + fan_out)),
}
"""w_std by fan-in and fan-out."""

BIASES: Mapping[str, Callable[[int, int], float]] = {"torch": lambda fan_in, fan_out: sqrt(1 / (3 * fan_in))}


@dataclass(frozen=True)
class Scale:
    """A standard deviation and how it was found."""

    value: float
    how: str


@dataclass(frozen=True)
class Scales:
    """What is known of the scales of a network.

    Attributes:
      given: by the path of a parameter, the scale that the caller says: of a weight times the root of its fan-in.
      draws: the values of a known node for every set of parameters that was drawn.
      named: whether a scale that agrees with that of an initialiser is taken to be that.
    """

    draws: Callable[[Node], Sequence[Array]]
    given: Mapping[str, float] = field(default_factory=dict)
    named: bool = True

    def weight(self, node: Node, fan_in: int, fan_out: int) -> Scale:
        """w_std of weights, of which the entries have standard deviation w_std / sqrt(fan_in)."""
        return self._scale(node, sqrt(fan_in), WEIGHTS, (fan_in, fan_out))

    def bias(self, node: Node, fan_in: int, fan_out: int) -> Scale:
        """b_std of biases."""
        return self._scale(node, 1.0, BIASES, (fan_in, fan_out))

    def gain(self, node: Node, arranged: Callable[[Array], Array]) -> tuple[float, float, str]:
        """Mean and standard deviation of what channels are multiplied by, and how they were found."""
        given = [self.given[path] for path in node.parameters if path in self.given]
        if given:
            return float(given[0]), 0.0, "given"
        values = np.concatenate([np.ravel(arranged(x)) for x in self.draws(node)]).astype(np.float64)
        mean, spread = float(values.mean()), float(values.std())
        if spread <= 1e-6 * abs(mean):
            return mean, 0.0, "the same for all"
        return mean, spread, f"mean of {values.size} values, which differ by {spread:.2g}"

    def _scale(
        self, node: Node, factor: float, names: Mapping[str, Callable[[int, int], float]], fans: tuple[int, int]
    ) -> Scale:
        given = [self.given[path] for path in node.parameters if path in self.given]
        if given:
            return Scale(float(given[0]), "given")
        values = np.concatenate([np.ravel(x) for x in self.draws(node)]).astype(np.float64)
        measured = factor * float(np.sqrt(np.mean(values**2)))
        if measured == 0:
            return Scale(0.0, "zero")
        error = 1 / sqrt(2 * values.size)
        near = {name: abs(measured / formula(*fans) - 1) / error for name, formula in names.items()}
        name = min(near, key=near.__getitem__)
        if self.named and near[name] <= DEVIATIONS:
            return Scale(names[name](*fans), f"{name}, {_digits(measured, error)} measured of {values.size}")
        return Scale(measured, f"measured of {values.size} values, +- {100 * error:.1g} %")


def _digits(value: float, error: float) -> str:
    return f"{value:.{max(1, min(6, 1 - round(np.log10(error))))}g}"


def check_given(given: Mapping[str, float], paths: Sequence[str]) -> None:
    """Raises ParameterError for a scale of no parameter, or one that is no standard deviation."""
    for path, value in given.items():
        if path not in paths:
            raise ParameterError(f"scales: there is no parameter {path}", hint=f"its parameters: {', '.join(paths)}")
        if not (np.isfinite(value) and value >= 0):
            raise ParameterError(f"scales: {path} = {value}; it should be a standard deviation")
