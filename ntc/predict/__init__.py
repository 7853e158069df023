"""Inference and training dynamics with the kernels.

The five functions of `neural_tangents.predict`, with their signatures: `gradient_descent_mse`, `gradient_descent`,
`gradient_descent_mse_ensemble`, `gp_inference`, `max_learning_rate`. Around them: predictions of a program (`regress`,
`Trained`, `posterior`), evidence and `fit`, `leave_one_out`, `choose_diag_reg`, `sample`, class probabilities and their
calibration, and `conjugate_gradients`.
"""

from ntc.predict.block_conjugate_gradients import BlockSolution, block_conjugate_gradients
from ntc.predict.calibration import (
    class_probabilities,
    expected_calibration_error,
    gaussian_log_likelihood,
    negative_log_likelihood,
)
from ntc.predict.choose_diag_reg import ChosenDiagReg, choose_diag_reg
from ntc.predict.conjugate_gradients import IterativeSolution, conjugate_gradients
from ntc.predict.ensemble import Ensemble, gradient_descent_mse_ensemble
from ntc.predict.evidence import Evidence, log_marginal_likelihood, log_marginal_likelihood_and_gradient
from ntc.predict.examples import Examples
from ntc.predict.fit import Fit, fit
from ntc.predict.fit_hyper import fit_hyper
from ntc.predict.inference import Gaussian, Inference, gp_inference
from ntc.predict.labels import accuracy, one_hot, root_mean_square_error
from ntc.predict.learning_rate import max_learning_rate
from ntc.predict.leave_one_out import leave_one_out
from ntc.predict.mse import MeanSquaredErrorDynamics, gradient_descent_mse
from ntc.predict.ode import Dynamics, ODEState, gradient_descent
from ntc.predict.operators import DenseOperator, KernelOperator, ProgramOperator
from ntc.predict.posterior import Posterior, RegressionKernels, posterior, regression_kernels
from ntc.predict.sampling import sample
from ntc.predict.solvers import Solving
from ntc.predict.stored import StoredOperator
from ntc.predict.system import RoundingWarning
from ntc.predict.temperature import fit_temperature, tempered_probabilities
from ntc.predict.training import Trained, regress

__all__ = [
    "BlockSolution",
    "ChosenDiagReg",
    "DenseOperator",
    "Dynamics",
    "Ensemble",
    "Evidence",
    "Examples",
    "Fit",
    "Gaussian",
    "Inference",
    "IterativeSolution",
    "KernelOperator",
    "MeanSquaredErrorDynamics",
    "ODEState",
    "Posterior",
    "ProgramOperator",
    "RegressionKernels",
    "RoundingWarning",
    "Solving",
    "StoredOperator",
    "Trained",
    "accuracy",
    "block_conjugate_gradients",
    "choose_diag_reg",
    "class_probabilities",
    "conjugate_gradients",
    "expected_calibration_error",
    "fit",
    "fit_hyper",
    "fit_temperature",
    "gaussian_log_likelihood",
    "gp_inference",
    "gradient_descent",
    "gradient_descent_mse",
    "gradient_descent_mse_ensemble",
    "leave_one_out",
    "log_marginal_likelihood",
    "log_marginal_likelihood_and_gradient",
    "max_learning_rate",
    "negative_log_likelihood",
    "one_hot",
    "posterior",
    "regress",
    "regression_kernels",
    "root_mean_square_error",
    "sample",
    "tempered_probabilities",
]
