"""Inference with the kernels."""

from ntc.predict.gp import Posterior, RegressionKernels, gp_inference, posterior, regression_kernels
from ntc.predict.labels import accuracy, one_hot, root_mean_square_error

__all__ = [
    "Posterior",
    "RegressionKernels",
    "accuracy",
    "gp_inference",
    "one_hot",
    "posterior",
    "regression_kernels",
    "root_mean_square_error",
]
