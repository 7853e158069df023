"""The ways to compute an empirical NTK (Novak, Sohl-Dickstein and Schoenholz 2022, arXiv:2206.08720)."""

from __future__ import annotations

from enum import IntEnum


class NtkImplementation(IntEnum):
    """How J(x1) J(x2)^T is computed; all give the same numbers up to rounding.

    Attributes:
      AUTO: times the other three on arrays of the shapes given, when first called with them, and keeps the fastest.
      JACOBIAN_CONTRACTION: Jacobians by reverse mode, contracted parameter by parameter (section 3.1).
      NTK_VECTOR_PRODUCTS: a vector-Jacobian product at x2, then a Jacobian-vector product at x1, for every output
        (section 3.2). No Jacobian is stored.
      STRUCTURED_DERIVATIVES: Jacobians of the outputs of products and convolutions, contracted with the inputs of
        these without forming Jacobians of their weights (section 3.3). Parameters used otherwise, or more than once,
        are contracted by their Jacobians.
    """

    AUTO = 0
    JACOBIAN_CONTRACTION = 1
    NTK_VECTOR_PRODUCTS = 2
    STRUCTURED_DERIVATIVES = 3
