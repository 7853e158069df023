"""Regressors."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_random_state, validate_data

from ntc import predict
from ntc.errors import ParameterError
from ntc.estimators.base import Estimator, checked_weights


class Regressor(RegressorMixin, Estimator):  # type: ignore[misc]
    """Targets are centred and divided by their standard deviation, output by output; predictions are scaled back."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:  # noqa: N803
        """Trains on inputs (n, features) and targets (n,) or (n, outputs).

        An example of weight w in `sample_weight` (n,) counts as w examples: it has the noise of the others, over w.
        """
        x, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        weights, y = checked_weights(sample_weight, x), np.asarray(y, np.float64)
        self._single = y.ndim == 1
        y = y.reshape(len(y), -1)
        rows, weights = self._counted(x, y, weights)
        x, y = x[rows], y[rows]
        self._offset = np.average(y, axis=0, weights=weights)
        deviation = np.sqrt(np.average((y - self._offset) ** 2, axis=0, weights=weights))
        self._scale = np.where(deviation > 0, deviation, 1.0)
        self._fit(x, (y - self._offset) / self._scale, weights)
        return self

    def predict(self, X: Any, return_std: bool = False, return_cov: bool = False) -> Any:  # noqa: N803
        """Means like y, without observation noise; with standard deviations of the same shape if `return_std`, or with
        covariances (n, n) or (n, n, outputs) if `return_cov`. Raises ParameterError for both."""
        if return_cov:
            return self._covariance(X, return_std)
        inputs = self._inputs(X)
        posterior = self._trained.posterior(inputs, return_std)
        mean = posterior.mean * self._scale + self._offset
        mean = mean[:, 0] if self._single else mean
        if not return_std:
            return mean
        deviation = np.sqrt(np.maximum(posterior.variance, 0))[:, None] * self._scale
        return mean, deviation[:, 0] if self._single else deviation

    def _covariance(self, x: Any, return_std: bool) -> Any:
        if return_std:
            raise ParameterError("return_std and return_cov cannot both be true", hint="the diagonal of the covariance")
        inputs = self._inputs(x)
        mean, covariance = self._trained.joint(inputs)
        mean, scaled = mean * self._scale + self._offset, covariance[..., None] * self._scale**2
        return (mean[:, 0], scaled[..., 0]) if self._single else (mean, scaled)

    def sample_y(self, X: Any, n_samples: int = 1, random_state: Any = 0) -> Any:  # noqa: N803
        """Functions drawn from the law of predictions, jointly over X: (n, n_samples) or (n, outputs, n_samples)."""
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        inputs = self._inputs(X)
        law = self._trained.joint(inputs)
        drawn = np.asarray(predict.sample(*law, n_samples, seed)) * self._scale + self._offset
        drawn = np.moveaxis(drawn, 0, -1)
        return drawn[:, 0] if self._single else drawn


class NTKRegressor(Regressor):
    __doc__ = f"Networks trained by gradient descent.\n\n{Estimator.__doc__}"
    _kernel = "ntk"


class NNGPRegressor(Regressor):
    __doc__ = f"The Bayesian posterior of an infinitely wide network.\n\n{Estimator.__doc__}"
    _kernel = "nngp"
