"""Finite networks: their random parameters and forward pass, and empirical kernels of any function f(params, x)."""

from ntc.backends.jax.finite import Params, apply, init
from ntc.finite.empirical import empirical_kernel_fn, empirical_nngp_fn, empirical_ntk_fn, empirical_ntk_vp_fn
from ntc.finite.implementation import NtkImplementation

__all__ = [
    "NtkImplementation",
    "Params",
    "apply",
    "empirical_kernel_fn",
    "empirical_nngp_fn",
    "empirical_ntk_fn",
    "empirical_ntk_vp_fn",
    "init",
]
