"""The kernels as estimators of scikit-learn: `pip install "neural-tangent-compiler[sklearn]"`.

Inputs are (n, features); features are reshaped to the shape of the network's input. What is fitted is exact inference
with the kernel, see `ntc.predict`: the NNGP estimators are the Bayesian posterior of the infinitely wide network, the
NTK estimators the law of networks trained by gradient descent.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from ntc import predict
from ntc.backends.jax.program import Program
from ntc.compiler import build
from ntc.errors import InputError, ParameterError
from ntc.frontend import nn
from ntc.frontend.elaborate import load_graph, read_graph
from ntc.frontend.layers import Layer, Network
from ntc.ir.graph import Graph
from ntc.ir.types import Kernel

BATCH = 1024
"""Test inputs at a time: of finite times, whose covariances are needed for variances."""

DEFAULT = nn.serial(
    *(nn.dense(512, math.sqrt(2), 0.1), nn.relu()), *(nn.dense(512, math.sqrt(2), 0.1), nn.relu()), nn.dense(1)
)


def graph_of(model: Any, features: int) -> Graph:
    """The tensor graph of what was given as `model`, for (n, features). Raises what reading it raises, InputError."""
    model = DEFAULT if model is None else model
    if isinstance(model, Layer):
        return (nn.input(features) >> model).graph()
    if isinstance(model, Network):
        return model.graph()
    if isinstance(model, Graph):
        return model
    if isinstance(model, Path) or (isinstance(model, str) and model.endswith(".nt")):
        return load_graph(model)
    if isinstance(model, str):
        return read_graph(model)
    raise InputError(f"model should be text, a path, a graph, a network or layers, got {type(model).__name__}")


@lru_cache(maxsize=32)
def program_of(graph: Graph, kernels: tuple[Kernel, ...], dtype: Literal["float32", "float64"]) -> Program:
    """Programs are shared: what is compiled for one estimator is there for its clones."""
    return build(graph, kernels=kernels, dtype=dtype)


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """Exact inference with a kernel of an infinitely wide network.

    Args:
      model: the network as text in the language, path (`*.nt`), graph, network of the builder, or layers of the builder
        without an input, which then have as many features as the data. None is two hidden layers with ReLU.
      diag_reg: regularisation, relative to the mean of the diagonal of the kernel.
      t: time of training by gradient descent at learning rate 1 on the squared error, averaged over the entries of y;
        None is until convergence.
      hypers: values of hyperparameters `hyper(...)` of the model, by name.
      optimize: begin there and maximise the marginal likelihood over all of them.
      dtype: of the kernels. Linear systems are solved in float64 in any case.
      store: where `ntc.jobs` keeps the training kernels, or finds them; None is in memory. Not with `t`.
      solver: how a stored kernel is solved with, see `ntc.predict.Solving`.

    Attributes:
      program_: computes the kernels.
      hypers_: the values of its hyperparameters.
    """

    _kernel: ClassVar[Kernel]

    def __init__(
        self,
        model: Any = None,
        diag_reg: float = 1e-4,
        t: float | None = None,
        hypers: dict[str, float] | None = None,
        optimize: bool = False,
        dtype: Literal["float32", "float64"] = "float64",
        store: str | None = None,
        solver: Literal["auto", "cholesky", "cg", "nystrom"] = "auto",
    ) -> None:
        self.model = model
        self.diag_reg = diag_reg
        self.t = t
        self.hypers = hypers
        self.optimize = optimize
        self.dtype = dtype
        self.store = store
        self.solver = solver

    @property
    def log_marginal_likelihood_(self) -> float:
        """Of the targets as they were fitted (centred, scaled), as a Gaussian process with the kernel."""
        check_is_fitted(self)
        kernel = getattr(self.program_(self._x), self._kernel)
        return float(predict.log_marginal_likelihood(kernel, self._y, self.diag_reg))

    def _fit(self, x: Any, y: Any) -> None:
        """Trains on inputs (n, features) and targets (n, outputs)."""
        kernels: tuple[Kernel, ...] = ("nngp",) if self._kernel == "nngp" else ("nngp", "ntk")
        program = program_of(graph_of(self.model, x.shape[1]), kernels, self.dtype)
        program = program.with_hyper(self.hypers) if self.hypers else program
        self._shape = _input_shape(program, x.shape[1])
        self._x, self._y = self._shaped(x), y
        if self.optimize:
            found = predict.fit_hyper(program, self._x, y, self.diag_reg, kernel=self._kernel)
            program = program.with_hyper(found.parameters)
        self.program_, self.hypers_ = program, program.hyper
        self._prepare()

    def _prepare(self) -> None:
        train = (self.program_, self._x, self._y, self._kernel, self.diag_reg)
        self._trained = predict.Trained(*train, **({} if self.store is None else self._stored()))
        self._ensemble = predict.gradient_descent_mse_ensemble(self.program_, self._x, self._y, diag_reg=self.diag_reg)

    def _stored(self) -> dict[str, Any]:
        """Where the training kernels are, which are computed if they are not there."""
        from ntc import jobs

        if self.t is not None:
            raise ParameterError("a store serves training to convergence", hint="t=None, or store=None")
        job = jobs.create(self.program_, self._x, store=str(self.store))
        job.run()
        return {"store": job, "solving": predict.Solving(self.solver)}

    def _shaped(self, x: Any) -> Any:
        return x.reshape(len(x), *self._shape)

    def _posterior(self, x: Any, variances: bool = True) -> predict.Posterior:
        check_is_fitted(self)
        x = self._shaped(validate_data(self, x, dtype=np.float64, reset=False))
        if self.t is None:
            return self._trained.predict(x, variances=variances)
        parts = [self._at_time(x[first : first + BATCH]) for first in range(0, len(x), BATCH)]
        return predict.Posterior(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _at_time(self, x: Any) -> tuple[Any, Any]:
        law = self._ensemble(self.t, x, self._kernel, True)
        return np.asarray(law.mean), np.maximum(np.diagonal(law.covariance), 0)

    def _joint(self, x: Any) -> tuple[Any, Any]:
        """Mean (n, outputs) and covariance (n, n), which all outputs share, of targets as they were fitted."""
        check_is_fitted(self)
        x = self._shaped(validate_data(self, x, dtype=np.float64, reset=False))
        law = self._ensemble(self.t, x, self._kernel, True)
        return np.asarray(law.mean), np.asarray(law.covariance)

    def __getstate__(self) -> dict[str, Any]:
        """What was compiled or factorised is made again where it is unpickled."""
        state = dict(super().__getstate__())
        for name in ("_trained", "_ensemble", "program_"):
            state.pop(name, None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "hypers_" in state:
            kernels: tuple[Kernel, ...] = ("nngp",) if self._kernel == "nngp" else ("nngp", "ntk")
            program = program_of(graph_of(self.model, self.n_features_in_), kernels, self.dtype)
            self.program_ = program.with_hyper(self.hypers_) if self.hypers_ else program
            self._prepare()


def _input_shape(program: Program, features: int) -> tuple[int, ...]:
    if len(program.inputs) != 1:
        raise InputError(f"the model of an estimator should have one input, got {len(program.inputs)}")
    type_ = program.network.inputs[0].type
    shape = (*type_.spatial, type_.channels)  # type: ignore[union-attr]
    if math.prod(shape) != features:
        raise InputError(
            f"the input {'x'.join(map(str, shape))} of the model has {math.prod(shape)} numbers, "
            f"X has {features} features",
            hint="layers of the builder without an input take their size from the data",
        )
    return shape


class _Regressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """Targets are centred and divided by their standard deviation, output by output; predictions are scaled back."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags

    def fit(self, X: Any, y: Any) -> Any:  # noqa: N803
        """Trains on inputs (n, features) and targets (n,) or (n, outputs)."""
        x, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        y = np.asarray(y, np.float64)
        self._single = y.ndim == 1
        y = y.reshape(len(y), -1)
        deviation = y.std(axis=0)
        self._offset, self._scale = y.mean(axis=0), np.where(deviation > 0, deviation, 1.0)
        self._fit(x, (y - self._offset) / self._scale)
        return self

    def predict(self, X: Any, return_std: bool = False, return_cov: bool = False) -> Any:  # noqa: N803
        """Means like y, without observation noise; with standard deviations of the same shape if `return_std`, or with
        covariances (n, n) or (n, n, outputs) if `return_cov`. Raises ParameterError for both."""
        if return_cov:
            return self._covariance(X, return_std)
        posterior = self._posterior(X, return_std)
        mean = posterior.mean * self._scale + self._offset
        mean = mean[:, 0] if self._single else mean
        if not return_std:
            return mean
        deviation = np.sqrt(np.maximum(posterior.variance, 0))[:, None] * self._scale
        return mean, deviation[:, 0] if self._single else deviation

    def _covariance(self, x: Any, return_std: bool) -> Any:
        if return_std:
            raise ParameterError("return_std and return_cov cannot both be true", hint="the diagonal of the covariance")
        mean, covariance = self._joint(x)
        mean, scaled = mean * self._scale + self._offset, covariance[..., None] * self._scale**2
        return (mean[:, 0], scaled[..., 0]) if self._single else (mean, scaled)

    def sample_y(self, X: Any, n_samples: int = 1, random_state: Any = 0) -> Any:  # noqa: N803
        """Functions drawn from the law of predictions, jointly over X: (n, n_samples) or (n, outputs, n_samples)."""
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        drawn = np.asarray(predict.sample(*self._joint(X), n_samples, seed)) * self._scale + self._offset
        drawn = np.moveaxis(drawn, 0, -1)
        return drawn[:, 0] if self._single else drawn


class _Classifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """Classes are regressed as one-hot vectors of mean zero. Attribute `classes_`: the labels, sorted."""

    def fit(self, X: Any, y: Any) -> Any:  # noqa: N803
        """Trains on inputs (n, features) and labels (n,), of two classes or more."""
        x, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("a classifier needs labels of two classes or more, got one class")
        self._fit(x, predict.one_hot(labels, len(self.classes_)))
        return self

    def predict(self, X: Any) -> Any:  # noqa: N803
        """The class of largest mean."""
        largest = np.argmax(self._posterior(X, variances=False).mean, axis=1)
        return self.classes_[largest]

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        """(n, classes): the probability of having the largest output, see `ntc.predict.class_probabilities`."""
        return predict.class_probabilities(self._posterior(X))


class NTKRegressor(_Regressor):
    __doc__ = f"Networks trained by gradient descent.\n\n{_Estimator.__doc__}"
    _kernel = "ntk"


class NNGPRegressor(_Regressor):
    __doc__ = f"The Bayesian posterior of an infinitely wide network.\n\n{_Estimator.__doc__}"
    _kernel = "nngp"


class NTKClassifier(_Classifier):
    __doc__ = f"Networks trained by gradient descent on one-hot labels.\n\n{_Estimator.__doc__}"
    _kernel = "ntk"


class NNGPClassifier(_Classifier):
    __doc__ = f"The Bayesian posterior of an infinitely wide network on one-hot labels.\n\n{_Estimator.__doc__}"
    _kernel = "nngp"
