"""Inference with the kernels."""

from ntc.predict.gp import Posterior, gp_inference
from ntc.predict.labels import accuracy, one_hot, root_mean_square_error

__all__ = ["Posterior", "accuracy", "gp_inference", "one_hot", "root_mean_square_error"]
