"""What regressors and classifiers have in common: a model, its hyperparameters, and training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ntc import predict
from ntc.backends.jax.program import Program
from ntc.errors import InputError, ParameterError
from ntc.estimators.models import graph_of, hypers_of, input_shape, pattern_shape, program_of
from ntc.estimators.trained import Table, TrainedOnTable, merged
from ntc.ir.types import Kernel
from ntc.predict.choose_diag_reg import drawn

START = 0.1
"""The regularisation that a fit begins with."""

_PREFIX = "hypers__"


class Estimator(BaseEstimator):  # type: ignore[misc]
    """Exact inference with a kernel of an infinitely wide network.

    Args:
      model: the network as text in the language, path (`*.nt`), graph, network of the builder, or layers of the builder
        without an input, which then have as many features as the data. Where it aggregates, every row of features ends
        with the rows of its pattern, one after another. None is two hidden layers with ReLU, with
        hyperparameters `w_std`, of the first layer, and `b_std`.
      diag_reg: regularisation, relative to the mean of the diagonal of the kernel. "auto" is what the training set
        says, see `ntc.predict.choose_diag_reg`: by the evidence for the NNGP, whose scale is chosen with it, and by
        leaving examples out for the NTK; where `t` is given, 1e-4.
      t: time of training by gradient descent at learning rate 1 on the squared error, averaged over the entries of y;
        None is until convergence.
      hypers: values of hyperparameters `hyper(...)` of the model, by name; one is the parameter `hypers__NAME`.
      optimize: begin there and maximise the marginal likelihood over all of them, and over the regularisation if that
        is "auto". Of more than 1,000 examples as many are drawn for it.
      length_scales: also over a number for each feature that it is divided by.
      dtype: of the kernels. Linear systems are solved in float64 in any case.
      store: where `ntc.jobs` keeps the training kernels, or finds them; None is in memory. Not with `t`.
      solver: how a stored kernel is solved with, see `ntc.predict.Solving`.

    Attributes:
      program_: computes the kernels.
      hypers_: the values of its hyperparameters.
      diag_reg_: the regularisation, a number, or one for each example that has a weight.
      length_scales_: (features,), what features are divided by, or None.
    """

    _kernel: ClassVar[Kernel]

    def __init__(
        self,
        model: Any = None,
        diag_reg: float | Literal["auto"] = "auto",
        t: float | None = None,
        hypers: dict[str, float] | None = None,
        optimize: bool = False,
        length_scales: bool = False,
        dtype: Literal["float32", "float64"] = "float64",
        store: str | None = None,
        solver: Literal["auto", "cholesky", "cg", "nystrom"] = "auto",
    ) -> None:
        self.model = model
        self.diag_reg = diag_reg
        self.t = t
        self.hypers = hypers
        self.optimize = optimize
        self.length_scales = length_scales
        self.dtype = dtype
        self.store = store
        self.solver = solver

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; with `deep` also `hypers__NAME` for every hyperparameter of the model."""
        found = dict(super().get_params(deep=False))
        if deep:
            values = hypers_of(self.model) | (dict(self.hypers) if isinstance(self.hypers, Mapping) else {})
            found |= {f"{_PREFIX}{name}": value for name, value in values.items()}
        return found

    def set_params(self, **params: Any) -> Any:
        """Sets parameters by name, and single hyperparameters by `hypers__NAME`. Raises ValueError for others."""
        own = {name: value for name, value in params.items() if not name.startswith(_PREFIX)}
        super().set_params(**own)
        values = {name.removeprefix(_PREFIX): value for name, value in params.items() if name not in own}
        if values:
            self.hypers = (self.hypers or {}) | values
        return self

    @property
    def log_marginal_likelihood_(self) -> float:
        """Of the targets as they were fitted (centred, scaled), as a Gaussian process with the kernel."""
        check_is_fitted(self)
        return self._trained.log_marginal_likelihood

    def _fit(self, x: Any, y: Any, weights: Any) -> None:
        """Trains on inputs (n, features), targets (n, outputs), and weights (n,) or None."""
        program = self._program()
        program = program.with_hyper(self.hypers) if self.hypers else program
        if self.length_scales and not self.optimize:
            raise ParameterError("length scales are fitted with the hyperparameters", hint="optimize=True")
        self._shape, self._pattern = input_shape(program, x.shape[1]), pattern_shape(program)
        if self._pattern and (self.optimize or self.t is not None or self.store is not None):
            raise ParameterError("a model that aggregates is trained as it is, to the end, and in memory")
        self._table = Table(x, y, weights)
        self.length_scales_: Any = None
        if self.optimize:
            program = self._optimised(program)
        self.program_, self.hypers_ = program, program.hyper
        self._prepare()

    def _counted(self, x: Any, y: Any, weights: Any) -> tuple[Any, Any]:
        """Which of the rows x (n, features) and targets y (n, outputs) are trained on, and weights of these or None:
        without those of no weight, and copies once. All, for a store, which holds the kernel of all."""
        if self.store is not None and (weights is None or weights.all()):
            return np.arange(len(x)), weights
        there = np.arange(len(x)) if weights is None else np.flatnonzero(weights)
        rows, totals = merged(x[there], y[there], None if weights is None else weights[there])
        return there[rows], totals

    def _program(self) -> Program:
        """Shared by all estimators of the model, with the values written in it."""
        kernels: tuple[Kernel, ...] = ("nngp",) if self._kernel == "nngp" else ("nngp", "ntk")
        return program_of(graph_of(self.model, self.n_features_in_), kernels, self.dtype)

    def _optimised(self, program: Program) -> Program:
        part = self._table.part(drawn(len(self._table.x)))
        automatic = isinstance(self.diag_reg, str)
        noise: Any = START if automatic else self.diag_reg
        found = predict.fit_hyper(
            program,
            self._shaped(part.x),
            part.y,
            noise if part.weights is None else noise / part.weights,
            kernel=self._kernel,
            fit_diag_reg=automatic,
            fit_scale=automatic,
            length_scales=np.ones(self._shape) if self.length_scales else None,
        )
        if found.length_scales is not None:
            self.length_scales_ = np.ravel(found.length_scales)
        return program.with_hyper(found.parameters) if found.parameters else program

    def _prepare(self) -> None:
        table = Table(self._shaped(self._table.x), self._table.y, self._table.weights)
        self._trained = TrainedOnTable(
            self.program_, self._kernel, table, self.diag_reg, self.t, self.store, self.solver
        )
        self._trained.prepare()
        self.diag_reg_ = self._trained.chosen.diag_reg

    def _shaped(self, x: Any) -> Any:
        """Features (n, features) as inputs of the program; where it aggregates, the last ones are the pattern."""
        scaled = x if self.length_scales_ is None else x / self.length_scales_
        if self._pattern is None:
            return scaled.reshape(len(x), *self._shape)
        count = math.prod(self._shape)
        pattern = x[:, count:].reshape(len(x), *self._pattern)
        return predict.Examples(x[:, :count].reshape(len(x), *self._shape), pattern=pattern)

    def _inputs(self, x: Any) -> Any:
        check_is_fitted(self)
        return self._shaped(validate_data(self, x, dtype=np.float64, reset=False))

    def __getstate__(self) -> dict[str, Any]:
        """What was compiled or factorised is made again where it is unpickled."""
        state = dict(super().__getstate__())
        for name in ("_trained", "program_"):
            state.pop(name, None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "hypers_" in state:
            program = self._program()
            self.program_ = program.with_hyper(self.hypers_) if self.hypers_ else program
            self._prepare()


def checked_weights(sample_weight: Any, x: Any) -> Any:
    """(n,), not negative and not all zero, or None. Raises ValueError, InputError."""
    if sample_weight is None:
        return None
    weights = _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
    if not weights.any():
        raise InputError("sample_weight is zero for all examples")
    return weights
