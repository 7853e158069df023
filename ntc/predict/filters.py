"""What gradient flow does to an eigenvector of the kernel in a given time; all limits are taken exactly.

Residuals along an eigenvector with eigenvalue v decay as exp(-v s) (Jacot et al. 2018, section 5; Lee et al. 2019,
eq. 8), s = learning_rate * t / number of outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ntc.errors import InputError
from ntc.predict.arithmetic import Arithmetic, checked
from ntc.predict.least_norm import Spectrum


def durations(t: Any, learning_rate: Any, size: int, arithmetic: Arithmetic) -> Any:
    """Times s (number of times, 1) of t of any shape. Raises InputError if one is negative or not a number."""
    if arithmetic.numpy is np and not (arithmetic.array(t) >= 0).all():
        raise InputError(f"training times t should not be negative, got {t}")
    return (arithmetic.array(t) * learning_rate / size).reshape(-1, 1)


def learned(spectrum: Spectrum, s: Any, numpy: Any) -> Any:
    """1 - exp(-v s), the share of the residual that is gone, (times, eigenvalues). At v = 0 nothing ever is."""
    positive = _positive(spectrum, s, numpy)
    return numpy.where(positive, -numpy.expm1(-numpy.where(positive, spectrum.values, 1) * s), 0)


def moved(spectrum: Spectrum, s: Any, numpy: Any) -> Any:
    """(1 - exp(-v s)) / v, the integral of the residual over time, (times, eigenvalues). At v = 0 it is s.

    For infinite s and v that cannot be told from zero the limit is that of test kernels that vanish along the
    eigenvector, as they do if train and test kernels are of one positive semidefinite kernel: zero.
    """
    positive = _positive(spectrum, s, numpy)
    values = numpy.where(positive, spectrum.values, 1)
    still = numpy.where(numpy.isinf(s), 0, s)
    return numpy.where(positive, -numpy.expm1(-values * s) / values, still)


def remaining(spectrum: Spectrum, s: Any, numpy: Any) -> Any:
    """exp(-v s), (times, eigenvalues)."""
    return 1 - learned(spectrum, s, numpy)


def _positive(spectrum: Spectrum, s: Any, numpy: Any) -> Any:
    least = numpy.where(numpy.isinf(s), spectrum.null, 0)
    return spectrum.values > least


def initial(name: str, f: Any, shape: tuple[int, ...], arithmetic: Arithmetic) -> Any:
    """Outputs at time zero: of the shape, or a number for all. Raises InputError."""
    array = arithmetic.array(checked(name, f))
    if array.ndim and array.shape != shape:
        raise InputError(f"{name} should be a number or have shape {shape}, got {array.shape}")
    return arithmetic.numpy.broadcast_to(array, shape)


def over_time(t: Any, values: Any) -> Any:
    """Values (times, ...) with the axes of t in front."""
    return values.reshape((*np.shape(t), *values.shape[1:]))
