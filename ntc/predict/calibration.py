"""Class probabilities of regression on labels, and whether they are right as often as they say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr, logsumexp

from ntc.errors import InputError
from ntc.predict.posterior import Posterior

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer]

NODES = 128
"""Of the quadrature: probabilities are then good to ten digits."""


def class_probabilities(posterior: Posterior) -> Array:
    """Probability (n, classes) that each class has the largest output.

    Outputs are independent Gaussians of one variance s^2 per example, so with F their normal distribution

        p_c = E_z[ prod_{j != c} F(z + (mean_c - mean_j) / s) ],  z standard normal,

    by Gauss-Hermite quadrature on a bounded, smooth integrand. Without variance the largest mean is certain.

    Raises InputError unless there are two classes or more.
    """
    mean = posterior.mean
    if mean.ndim != 2 or mean.shape[1] < 2:
        raise InputError(f"class probabilities need outputs (n, classes) of two classes or more, got {mean.shape}")
    deviation = np.maximum(np.sqrt(posterior.variance), 1e-12 * np.abs(mean).max(axis=1) + 1e-150)
    scaled = mean / deviation[:, None]
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    log_weights = np.log(weights / weights.sum())
    logs = np.stack([_log_probability(scaled, c, nodes, log_weights) for c in range(mean.shape[1])], axis=1)
    probabilities: Array = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
    return probabilities


def _log_probability(scaled: Array, label: int, nodes: Array, log_weights: Array) -> Array:
    ahead = scaled[:, [label]] - np.delete(scaled, label, axis=1)
    logs: Array = logsumexp(log_ndtr(nodes + ahead[..., None]).sum(axis=1) + log_weights, axis=1)
    return logs


def negative_log_likelihood(probabilities: Array, labels: Labels) -> float:
    """Mean of -log p(label), in nats, of probabilities (n, classes) and labels (n,)."""
    chosen = probabilities[np.arange(len(labels)), _checked(probabilities, labels)]
    return float(-np.mean(np.log(np.maximum(chosen, np.finfo(np.float64).tiny))))


def expected_calibration_error(probabilities: Array, labels: Labels, bins: int = 15) -> float:
    """Mean distance of confidence from accuracy (Guo et al. 2017, eq. 3), between 0 and 1.

    Examples are put into `bins` equal intervals of their largest probability; of every interval, the distance of the
    mean of it from the share of right predictions counts by the number of examples.
    """
    if bins < 1:
        raise InputError(f"bins should be positive, got {bins}")
    right = np.argmax(probabilities, axis=1) == _checked(probabilities, labels)
    confidence = probabilities.max(axis=1)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, confidence - right, bins)
    return float(np.abs(gaps).sum() / len(labels))


def gaussian_log_likelihood(posterior: Posterior, y: npt.ArrayLike, noise: float = 0.0) -> float:
    """Mean of log p(y) over all entries of y (n, outputs), in nats, observed with a variance of `noise`.

    Raises InputError if a variance is zero: then no likelihood exists.
    """
    variance = (posterior.variance + noise)[:, None]
    if not (variance > 0).all():
        raise InputError("a predicted variance is zero, so values have no density there", hint="give a noise")
    distance = np.asarray(y, np.float64).reshape(posterior.mean.shape) - posterior.mean
    return float(np.mean(-0.5 * (distance**2 / variance + np.log(2 * np.pi * variance))))


def _checked(probabilities: Array, labels: Labels) -> Labels:
    found = np.asarray(labels)
    classes = probabilities.shape[1] if probabilities.ndim == 2 else 0
    if found.shape != probabilities.shape[:1] or found.dtype.kind not in "iu" or not len(found):
        raise InputError(f"labels should be {len(probabilities)} integers, got {found.dtype} of shape {found.shape}")
    if found.min() < 0 or found.max() >= classes:
        raise InputError(f"labels should be from 0 to {classes - 1}, got {found.min()} to {found.max()}")
    return found
