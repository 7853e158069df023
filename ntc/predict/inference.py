"""The posterior of a Gaussian process, and the law of networks trained to convergence."""

from __future__ import annotations

from typing import Any, NamedTuple

from ntc.errors import InputError
from ntc.ir.named import Get
from ntc.predict.arithmetic import Arithmetic, SolveDType, checked, of_any_ranks
from ntc.predict.kernels import REGIMES, Regime, answered, component
from ntc.predict.layout import Axes, Layout
from ntc.predict.system import System


class Gaussian(NamedTuple):
    """A law of outputs.

    Attributes:
      mean: (*outputs).
      covariance: of the shape of a kernel between the outputs.
    """

    mean: Any
    covariance: Any


def gp_inference(
    k_train_train: Any,
    y_train: Any,
    diag_reg: Any = 0.0,
    diag_reg_absolute_scale: bool = False,
    trace_axes: Axes = (-1,),
    *,
    solve_dtype: SolveDType | None = None,
) -> Inference:
    """The law of outputs after training, from kernel matrices.

    With K the NNGP, T the NTK, A = K(X, X) + r I, B = T(X, X) + r I for training inputs X and test inputs x:

        nngp   the Bayesian posterior of the infinitely wide network (Lee et al. 2018, eq. 8 and 9):
               mean K(x, X) A^-1 y,  covariance K(x, x) - K(x, X) A^-1 K(X, x);
        ntk    networks trained to convergence by gradient descent (Lee et al. 2019, eq. 16), W = T(x, X) B^-1:
               mean W y,  covariance K(x, x) + W K(X, X) W' - W K(X, x) - K(x, X) W';
        ntkgp  the posterior under a Gaussian process whose covariance is the NTK (He et al. 2020):
               mean W y,  covariance T(x, x) - W T(X, x).

    Args:
      k_train_train: one kernel, which then stands for all, or an object with attributes `nngp` and `ntk`; between
        outputs like y_train without trace_axes, see `gradient_descent_mse`.
      y_train: (n, ..., outputs).
      diag_reg, diag_reg_absolute_scale, trace_axes, solve_dtype: see `gradient_descent_mse`.

    Returns:
      A function of (get, k_test_train, k_test_test).

    Raises:
      InputError: shapes do not fit, or entries are not finite.
    """
    y = checked("y_train", y_train)
    return Inference(k_train_train, y, (diag_reg, diag_reg_absolute_scale), Layout.of(y, trace_axes), solve_dtype)


class Inference:
    """Predictions of `gp_inference`. Each kernel is factorised at the first call that needs it."""

    def __init__(
        self,
        kernels: Any,
        y_train: Any,
        regularisation: tuple[float, bool],
        layout: Layout,
        requested: SolveDType | None,
    ) -> None:
        self._given, self._y, self._regularisation = kernels, y_train, regularisation
        self._layout, self._requested = layout, requested
        self._train: dict[str, tuple[Any, System]] = {}

    def __call__(self, get: Get = None, k_test_train: Any = None, k_test_test: Any = None) -> Any:
        """The mean on the test set, and the covariance if k_test_test is given.

        Args:
          get: nngp, ntk or ntkgp, in any case, or a tuple of them; None is (nngp, ntk).
          k_test_train: kernels between test and training inputs. None is for the training set without
            regularisation, where outputs are y_train for certain.
          k_test_test: kernels of the test inputs; anything but None if k_test_train is None. `ntk` reads their NNGP,
            which is what a single array is taken for.

        Returns:
          The mean, or `Gaussian`; for a tuple or None a named tuple of them.

        Raises:
          InputError: shapes do not fit, a kernel is missing, or the matrix is not positive definite (with the
            regularisation that would do).
        """
        return answered(get, REGIMES, lambda regime: self._predicted(regime, k_test_train, k_test_test))

    @of_any_ranks
    def _predicted(self, regime: Regime, k_test_train: Any, k_test_test: Any) -> Any:
        if k_test_train is None:
            return self._on_training_set(regime, k_test_test is not None)
        name: Regime = "nngp" if regime == "nngp" else "ntk"
        kernel, system = self._system(name)
        cross = self._cross(name, k_test_train)
        extra = self._extra(regime, k_test_train, k_test_test)
        arithmetic = Arithmetic.of(kernel, self._requested, self._y, cross, system.diag_reg, *extra)
        shape = self._layout.test_shape(cross)
        rows = self._layout.matrix(arithmetic.array(cross))
        y = self._layout.columns(arithmetic.array(self._y))
        mean = arithmetic.finished(self._layout.outputs(rows @ system.solve(y, arithmetic, rows), shape))
        if k_test_test is None:
            return mean
        weights = system.solve(rows.T, arithmetic).T
        parts = [self._layout.matrix(arithmetic.array(part)) for part in extra]
        covariance = parts[0] + change_of_covariance(weights, rows, *parts[1:])
        return Gaussian(mean, arithmetic.finished(self._layout.kernel(covariance, shape, shape)))

    def _extra(self, regime: Regime, k_test_train: Any, k_test_test: Any) -> list[Any]:
        """What the covariance reads beside the kernel that is inverted: the prior, and for ntk the NNGP."""
        if k_test_test is None:
            return []
        prior = "ntk" if regime == "ntkgp" else "nngp"
        found = [checked("k_test_test", component(k_test_test, prior, "k_test_test"))]
        if regime == "ntk":
            if not (hasattr(self._given, "nngp") and hasattr(k_test_train, "nngp")):
                raise InputError(
                    "the covariance of trained networks needs NNGP and NTK",
                    hint="give k_train_train and k_test_train as objects with attributes nngp and ntk, "
                    "or ask for ntkgp",
                )
            found += [self._system("nngp")[0], self._cross("nngp", k_test_train)]
        return found

    def _on_training_set(self, regime: Regime, with_covariance: bool) -> Any:
        kernel, _ = self._system("nngp" if regime == "nngp" else "ntk")
        arithmetic = Arithmetic.of(kernel, self._requested, self._y)
        mean = arithmetic.finished(arithmetic.array(self._y))
        return Gaussian(mean, arithmetic.finished(arithmetic.numpy.zeros(kernel.shape))) if with_covariance else mean

    def _system(self, name: Regime) -> tuple[Any, System]:
        """A training kernel, as it was given and as a system to solve."""
        if name in self._train:
            return self._train[name]
        kernel = checked("k_train_train", component(self._given, name, "k_train_train"))
        self._layout.check("k_train_train", kernel, square=True)
        system = System(self._layout.matrix(kernel), *self._regularisation, self._requested)
        if not system.traced:
            self._train[name] = kernel, system
        return kernel, system

    def _cross(self, name: Regime, k_test_train: Any) -> Any:
        kernel = checked("k_test_train", component(k_test_train, name, "k_test_train"))
        self._layout.check("k_test_train", kernel)
        return kernel


def change_of_covariance(weights: Any, cross: Any, nngp_train: Any = None, nngp_cross: Any = None) -> Any:
    """What training adds to the covariance K(x, x) of outputs f(x) - W f(X), for weights W (..., m, n).

    Without the NNGP: -W K(X, x), with W = K(x, X) A^-1 and cross = K(x, X) (m, n), the posterior of one kernel. With
    it: W K(X, X) W' - W K(X, x) - K(x, X) W' (Lee et al. 2019, eq. 16). Symmetric but for rounding.
    """
    transposed = weights.swapaxes(-1, -2)
    if nngp_train is None:
        return -weights @ cross.T
    both = weights @ nngp_cross.T
    return weights @ nngp_train @ transposed - both - both.swapaxes(-1, -2)
