"""Standard deviations of weights and biases, from values as an initialiser draws them.

Source of the names: LeCun et al. 1998 (Efficient BackProp), Glorot & Bengio 2010, He et al. 2015 (arXiv:1502.01852);
PyTorch and Equinox draw weights of dense and convolutional layers uniformly with variance 1 / (3 fan-in), biases too.
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
    "unit": lambda fan_in, fan_out: sqrt(fan_in),
    "glorot": lambda fan_in, fan_out: sqrt(2 * fan_in / (fan_in + fan_out)),
}
"""w_std by fan-in and fan-out."""

BIASES: Mapping[str, Callable[[int, int], float]] = {"torch": lambda fan_in, fan_out: sqrt(1 / (3 * fan_in))}


@dataclass(frozen=True)
class Scale:
    """A standard deviation and how it was found; the initialisers that it agrees with, by standard errors."""

    value: float
    how: str
    agrees: Mapping[str, float] = field(default_factory=dict, compare=False)


@dataclass
class Scales:
    """What is known of the scales of a network.

    Attributes:
      draws: the values of a known node for every set of parameters that was drawn.
      given: by the path of a parameter, the scale that the caller says: of a weight times the root of its fan-in.
      named: whether a scale that agrees with that of an initialiser is taken to be that.
      favourite: the initialiser that is asked first, where a scale agrees with several.
    """

    draws: Callable[[Node], Sequence[Array]]
    given: Mapping[str, float] = field(default_factory=dict)
    named: bool = True
    favourite: str = ""
    _measured: dict[Node, tuple[float, int]] = field(default_factory=dict)

    def weight(self, node: Node, fan_in: int, fan_out: int) -> Scale:
        """w_std of weights, of which the entries have standard deviation w_std / sqrt(fan_in)."""
        return self._scale(node, sqrt(fan_in), WEIGHTS, (fan_in, fan_out))

    def bias(self, node: Node, fan_in: int, weight: Scale | None = None) -> Scale:
        """b_std of biases; those of a layer whose weights are drawn as by a library may be as well."""
        names = {name: BIASES[name] for name in BIASES if weight is not None and weight.how.startswith(name)}
        return self._scale(node, 1.0, names, (fan_in, 1))

    def gain(self, node: Node, arranged: Callable[[Array], Array]) -> tuple[float, float, str]:
        """Mean and standard deviation of what channels are multiplied by, and how they were found."""
        given = self._given(node)
        if given is not None:
            return given, 0.0, "given"
        values = np.concatenate([np.ravel(arranged(x)) for x in self.draws(node)]).astype(np.float64)
        mean, spread = float(values.mean()), float(values.std())
        if spread <= 1e-6 * abs(mean):
            return mean, 0.0, "the same for all"
        return mean, spread, f"mean of {values.size} values, which differ by {spread:.2g}"

    def _given(self, node: Node) -> float | None:
        return next((float(self.given[path]) for path in sorted(node.parameters) if path in self.given), None)

    def _scale(
        self, node: Node, factor: float, names: Mapping[str, Callable[[int, int], float]], fans: tuple[int, int]
    ) -> Scale:
        given = self._given(node)
        if given is not None:
            return Scale(given, "given")
        if node not in self._measured:
            values = np.concatenate([np.ravel(x) for x in self.draws(node)]).astype(np.float64)
            self._measured[node] = float(np.sqrt(np.mean(values**2))), values.size
        root, size = self._measured[node]
        measured, error = factor * root, 1 / sqrt(2 * size)
        if measured == 0:
            return Scale(0.0, "zero")
        distances = {name: abs(measured / formula(*fans) - 1) / error for name, formula in names.items()}
        agrees = {name: x for name, x in distances.items() if x <= DEVIATIONS and self.named}
        if not agrees:
            return Scale(measured, f"measured of {size} values, +- {100 * error:.1g} %")
        name = self.favourite if self.favourite in agrees else min(agrees, key=agrees.__getitem__)
        return Scale(names[name](*fans), f"{name}, {_digits(measured, error)} measured of {size}", agrees)


def favourite(scales: Sequence[Scale]) -> str:
    """The initialiser that agrees with most of the scales of a network, of those the one that agrees best."""
    named = [scale.agrees for scale in scales if scale.agrees]
    votes = {name: [x[name] for x in named if name in x] for name in WEIGHTS}
    return min(votes, key=lambda name: (-len(votes[name]), sum(x**2 for x in votes[name])))


def _digits(value: float, error: float) -> str:
    return f"{value:.{max(1, min(6, 1 - round(np.log10(error))))}g}"


def check_given(given: Mapping[str, float], paths: Sequence[str]) -> None:
    """Raises ParameterError for a scale of no parameter, or one that is no standard deviation."""
    for path, value in given.items():
        if path not in paths:
            raise ParameterError(f"scales: there is no parameter {path}", hint=f"its parameters: {', '.join(paths)}")
        if not (np.isfinite(value) and value >= 0):
            raise ParameterError(f"scales: {path} = {value}; it should be a standard deviation")
