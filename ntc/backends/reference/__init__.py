"""The definition of right: kernel graphs in NumPy float64, every covariance dense."""

from ntc.backends.reference.interpret import interpret

__all__ = ["interpret"]
