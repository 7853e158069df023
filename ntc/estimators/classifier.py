"""Classifiers."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from ntc import predict
from ntc.errors import ParameterError
from ntc.estimators.base import Estimator, checked_weights

_ARGUMENTS = """
      class_weight: by label, what the weights of its examples are multiplied by; "balanced" is by one over their share.
      probabilities: "left_out" are those of the means at the temperature that suits the training examples, each
        predicted by all others (`ntc.predict.fit_temperature`); where `t` is given there is none, and they are the
        "posterior" ones: of having the largest output (`ntc.predict.class_probabilities`)."""


class Classifier(ClassifierMixin, Estimator):  # type: ignore[misc]
    """Classes are regressed as one-hot vectors less their mean. Attribute `classes_`: the labels, sorted."""

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
        class_weight: Any = None,
        probabilities: Literal["left_out", "posterior"] = "left_out",
    ) -> None:
        super().__init__(model, diag_reg, t, hypers, optimize, length_scales, dtype, store, solver)
        self.class_weight = class_weight
        self.probabilities = probabilities

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:  # noqa: N803
        """Trains on inputs (n, features) and labels (n,), of two classes or more.

        An example of weight w in `sample_weight` (n,) counts as w examples: it has the noise of the others, over w.
        """
        if self.probabilities not in ("left_out", "posterior"):
            raise ParameterError(f"probabilities should be left_out or posterior, got {self.probabilities!r}")
        x, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        weights = checked_weights(sample_weight, x)
        if self.class_weight is not None:
            weights = compute_sample_weight(self.class_weight, y) * (1.0 if weights is None else weights)
        if weights is not None:
            x, y, weights = x[weights > 0], y[weights > 0], weights[weights > 0]
        self.classes_, labels = np.unique(y, return_inverse=True)
        rows, weights = self._counted(x, labels[:, None], weights)
        x, self._labels = x[rows], labels[rows]
        if len(self.classes_) < 2:
            raise ValueError("a classifier needs labels of two classes or more, got one class")
        targets = predict.one_hot(self._labels, len(self.classes_))
        self._offset = np.average(targets, axis=0, weights=weights)
        self._fit(x, targets - self._offset, weights)
        return self

    def _prepare(self) -> None:
        super()._prepare()
        self.temperature_ = None
        if self.probabilities == "left_out" and self.t is None:
            rows, means = self._trained.left_out()
            weights = self._trained.table.part(rows).weights
            self.temperature_ = predict.fit_temperature(means + self._offset, self._labels[rows], weights)

    def predict(self, X: Any) -> Any:  # noqa: N803
        """The class of largest mean."""
        inputs = self._inputs(X)
        means = self._trained.posterior(inputs, variances=False).mean + self._offset
        return self.classes_[np.argmax(means, axis=1)]

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        """(n, classes), largest where the mean is; see `probabilities`."""
        inputs = self._inputs(X)
        posterior = self._trained.posterior(inputs, variances=self.temperature_ is None)
        means = posterior.mean + self._offset
        if self.temperature_ is None:
            return predict.class_probabilities(predict.Posterior(means, posterior.variance))
        return predict.tempered_probabilities(means, self.temperature_)


_DOCUMENTATION = str(Estimator.__doc__).replace("\n    Attributes:", f"{_ARGUMENTS.lstrip(chr(10))}\n\n    Attributes:")


class NTKClassifier(Classifier):
    __doc__ = f"Networks trained by gradient descent on one-hot labels.\n\n{_DOCUMENTATION}"
    _kernel = "ntk"


class NNGPClassifier(Classifier):
    __doc__ = f"The Bayesian posterior of an infinitely wide network on one-hot labels.\n\n{_DOCUMENTATION}"
    _kernel = "nngp"
