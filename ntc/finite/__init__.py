"""Finite networks: their random parameters and forward pass, and empirical kernels of any function f(params, x)."""

from ntc.backends.jax.finite import Params, apply, init
from ntc.finite.empirical import empirical_kernel_fn, empirical_nngp_fn, empirical_ntk_fn, empirical_ntk_vp_fn
from ntc.finite.estimates import Eigenvalues, Estimate, Sketch, ntk_eigenvalues, ntk_sketch, ntk_trace
from ntc.finite.implementation import NtkImplementation
from ntc.finite.linearize import linearize, linearized_weights, taylor_expand
from ntc.finite.monte_carlo import MonteCarloEstimate, monte_carlo_kernel_fn
from ntc.finite.parts import empirical_ntk_by_layer_fn, empirical_ntk_subset_fn

__all__ = [
    "Eigenvalues",
    "Estimate",
    "MonteCarloEstimate",
    "NtkImplementation",
    "Params",
    "Sketch",
    "apply",
    "empirical_kernel_fn",
    "empirical_nngp_fn",
    "empirical_ntk_by_layer_fn",
    "empirical_ntk_fn",
    "empirical_ntk_subset_fn",
    "empirical_ntk_vp_fn",
    "init",
    "linearize",
    "linearized_weights",
    "monte_carlo_kernel_fn",
    "ntk_eigenvalues",
    "ntk_sketch",
    "ntk_trace",
    "taylor_expand",
]
