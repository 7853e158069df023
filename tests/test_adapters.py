"""Adapters to tinygp, GPJax, GPyTorch, BoTorch and PyTorch, beside the newest releases of these.

`make test-adapters` runs them in an environment of their own.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntc import adapters, build, nn, predict
from ntc.errors import InputError

pytestmark = [pytest.mark.adapters, pytest.mark.filterwarnings("default")]  # other people's deprecations

NETWORK = nn.input(2) >> nn.dense(8, nn.hyper(1.3, "first"), 0.5) >> nn.erf() >> nn.dense(1, nn.hyper(0.8, "last"))
PROGRAM = build(NETWORK, dtype="float64")
RANDOM = np.random.default_rng(0)
X, TEST = RANDOM.normal(size=(12, 2)), RANDOM.normal(size=(5, 2))
Y = np.sin(X[:, 0]) + X[:, 1]
NOISE = 0.1
OURS = predict.regress(PROGRAM, X, Y, TEST, diag_reg=NOISE / np.mean(np.diag(np.asarray(PROGRAM(X).nngp))))
EVIDENCE = predict.log_marginal_likelihood(PROGRAM(X).nngp, Y[:, None], NOISE, diag_reg_absolute_scale=True)


def kernel_at(which: str, x1: Any, x2: Any = None, **hyper: float) -> Any:
    return np.asarray(getattr(PROGRAM(x1, x2, hyper=hyper), which))


def slope_of_evidence(name: str) -> float:
    """By central differences of our own evidence."""
    value, step = PROGRAM.hyper[name], 1e-5
    ends = [
        predict.log_marginal_likelihood(
            kernel_at("nngp", X, **{name: value + h}), Y[:, None], NOISE, diag_reg_absolute_scale=True
        )
        for h in (step, -step)
    ]
    return float(ends[0] - ends[1]) / (2 * step)


def test_tinygp() -> None:
    """Protects a Gaussian process of tinygp: its evidence, posterior, gradient, and sums of kernels."""
    tinygp = pytest.importorskip("tinygp")
    from ntc.adapters.tinygp import NetworkKernel

    with jax.enable_x64(True):
        process = tinygp.GaussianProcess(NetworkKernel(PROGRAM), jnp.asarray(X), diag=NOISE)
        assert float(process.log_probability(jnp.asarray(Y))) == pytest.approx(float(EVIDENCE), rel=1e-8)
        found = process.condition(jnp.asarray(Y), jnp.asarray(TEST)).gp
        np.testing.assert_allclose(found.loc, OURS.mean[:, 0], rtol=1e-8)
        np.testing.assert_allclose(found.variance, OURS.variance, rtol=1e-5)

        def evidence(kernel: Any) -> Any:
            return tinygp.GaussianProcess(kernel, jnp.asarray(X), diag=NOISE).log_probability(jnp.asarray(Y))

        slopes = jax.jit(jax.grad(evidence))(NetworkKernel(PROGRAM)).hyper
        for name in PROGRAM.hyper:
            assert float(slopes[name]) == pytest.approx(slope_of_evidence(name), rel=1e-5)
        both = NetworkKernel(PROGRAM, "ntk") + 2.0 * NetworkKernel(PROGRAM, hyper={"last": 0.5})
        expected = kernel_at("ntk", TEST, X) + 2 * kernel_at("nngp", TEST, X, last=0.5)
        np.testing.assert_allclose(both(jnp.asarray(TEST), jnp.asarray(X)), expected, rtol=1e-8)


def test_gpjax() -> None:
    """Protects a posterior of GPJax, and its fit of the hyperparameters."""
    gpx = pytest.importorskip("gpjax")
    from ntc.adapters.gpjax import NetworkKernel

    with jax.enable_x64(True):
        data = gpx.Dataset(X=jnp.asarray(X), y=jnp.asarray(Y[:, None]))
        prior = gpx.gps.Prior(mean_function=gpx.mean_functions.Zero(), kernel=NetworkKernel(PROGRAM))
        model = prior * gpx.likelihoods.Gaussian(obs_stddev=jnp.asarray(NOISE**0.5))
        evidence = gpx.objectives.conjugate_mll(model, data)
        assert float(evidence) == pytest.approx(float(EVIDENCE), abs=1e-3)  # it adds a jitter of 1e-6
        found = model.condition(data)(jnp.asarray(TEST))
        np.testing.assert_allclose(found.mean, OURS.mean[:, 0], atol=1e-4)
        objective = lambda m, d: -gpx.objectives.conjugate_mll(m, d)  # noqa: E731
        fitted, history = gpx.fit_scipy(model=model, objective=objective, train_data=data, verbose=False)
        assert float(history[-1]) < -float(evidence) - 0.1
        assert fitted.prior.kernel.values["first"] != PROGRAM.hyper["first"]


def test_torch_function() -> None:
    """Protects kernels of tensors: values, batches that broadcast, diagonals, and gradients by autograd's own check."""
    torch = pytest.importorskip("torch")
    from ntc.adapters import torch_fn

    x, test = torch.tensor(X, requires_grad=True), torch.tensor(TEST, requires_grad=True)
    last = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    for which in ("nngp", "ntk"):
        function = torch_fn(PROGRAM, which)
        matrix = function(test, x, last=last)
        assert matrix.dtype == torch.float64
        np.testing.assert_allclose(matrix.detach(), kernel_at(which, TEST, X, last=0.7), rtol=1e-8)
        np.testing.assert_allclose(function(x.detach()), kernel_at(which, X), rtol=1e-8)
        diagonal = function(x, diag=True)
        np.testing.assert_allclose(diagonal.detach(), np.diag(kernel_at(which, X)), rtol=1e-8)
        batches = function(torch.tensor(TEST).reshape(5, 1, 2), torch.tensor(X)[None])
        np.testing.assert_allclose(batches[:, 0], kernel_at(which, TEST, X), rtol=1e-8)
        few = test[:3].detach().requires_grad_()
        assert torch.autograd.gradcheck(lambda a, b, s, f=function: f(a, b, last=s), (few, x.detach()[:2], last))
        assert torch.autograd.gradcheck(lambda a, s, f=function: f(a, last=s), (few, last))
    assert torch_fn(PROGRAM)(torch.tensor(X, dtype=torch.float32)).dtype == torch.float32


def test_gpytorch() -> None:
    """Protects an exact process of GPyTorch: its posterior, and gradients of its evidence by raw parameters."""
    torch, gpytorch = pytest.importorskip("torch"), pytest.importorskip("gpytorch")
    from ntc.adapters.gpytorch import NetworkKernel

    torch.set_default_dtype(torch.float64)

    class Exact(gpytorch.models.ExactGP):  # type: ignore[misc,name-defined]
        def __init__(self, x: Any, y: Any, likelihood: Any) -> None:
            super().__init__(x, y, likelihood)
            self.mean_module, self.covar_module = gpytorch.means.ZeroMean(), NetworkKernel(PROGRAM)

        def forward(self, x: Any) -> Any:
            return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

    try:
        x, y = torch.tensor(X), torch.tensor(Y)
        likelihood = gpytorch.likelihoods.GaussianLikelihood()
        likelihood.noise = NOISE
        model = Exact(x, y, likelihood)
        evidence = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)(model(x), y) * len(Y)
        assert float(evidence.detach()) == pytest.approx(float(EVIDENCE), rel=1e-6)
        evidence.backward()
        raw, constraint = model.covar_module.raw_first, model.covar_module.raw_first_constraint
        inner = torch.autograd.grad(constraint.transform(raw), raw)[0]
        assert float(raw.grad) == pytest.approx(slope_of_evidence("first") * float(inner), rel=1e-4)
        model.eval()
        with torch.no_grad():
            found = model(torch.tensor(TEST))
        np.testing.assert_allclose(found.mean, OURS.mean[:, 0], rtol=1e-6)
        np.testing.assert_allclose(found.variance, OURS.variance, rtol=1e-4)
        with pytest.raises(InputError, match="reads all features"):
            model.covar_module.forward(x, x, last_dim_is_batch=True)
    finally:
        torch.set_default_dtype(torch.float32)


def test_botorch() -> None:
    """Protects Bayesian optimisation: a `SingleTaskGP` is fitted, and `optimize_acqf` finds the largest of a function
    by gradients."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("botorch")
    from botorch.acquisition import LogExpectedImprovement, qLogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.optim import optimize_acqf
    from gpytorch.kernels import ScaleKernel
    from gpytorch.mlls import ExactMarginalLogLikelihood

    from ntc.adapters.gpytorch import NetworkKernel

    torch.manual_seed(0)
    x = torch.rand(12, 2, dtype=torch.float64)
    y = -((x - 0.6) ** 2).sum(dim=1, keepdim=True)
    model = SingleTaskGP(x, y, covar_module=ScaleKernel(NetworkKernel(PROGRAM)).double())
    start = model.covar_module.base_kernel.hyper["first"].item()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    assert model.covar_module.base_kernel.hyper["first"].item() != start
    bounds = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    best, _ = optimize_acqf(LogExpectedImprovement(model, y.max()), bounds, q=1, num_restarts=2, raw_samples=16)
    np.testing.assert_allclose(best.detach(), [[0.6, 0.6]], atol=0.15)
    several, _ = optimize_acqf(
        qLogExpectedImprovement(model, y.max()), bounds, q=2, num_restarts=2, raw_samples=8, options={"maxiter": 5}
    )
    assert several.shape == (2, 2)


def test_tensors_are_converted_or_refused() -> None:
    """Protects whoever gives tensors to a program: they are read, half precision too; where a gradient would be lost,
    the adapter is named."""
    torch = pytest.importorskip("torch")
    found = PROGRAM(torch.tensor(X), torch.tensor(TEST))
    np.testing.assert_allclose(found.nngp, kernel_at("nngp", X, TEST), rtol=1e-12)
    half = PROGRAM(torch.tensor(X, dtype=torch.bfloat16)).nngp
    np.testing.assert_allclose(half, kernel_at("nngp", X), rtol=0.05, atol=0.05)
    with pytest.raises(InputError, match="torch_fn"):
        PROGRAM(torch.tensor(X, requires_grad=True))


@pytest.mark.parametrize("name", adapters.ADAPTERS)
def test_adapters_are_documented(name: str) -> None:
    """Protects readers: what test_meta asks of modules whose tools are there."""
    module = getattr(adapters, name)
    public = [thing for key, thing in vars(module).items() if not key.startswith("_")]
    own = [thing for thing in public if getattr(thing, "__module__", "") == module.__name__]
    assert module.__doc__
    assert [thing.__name__ for thing in own if not thing.__doc__] == []


def test_python_in_the_page_on_adapters_runs() -> None:
    """Protects docs/adapters.md: its examples run one after the other."""
    page = (Path(__file__).parents[1] / "docs" / "adapters.md").read_text()
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        with jax.enable_x64("jax_enable_x64" in code), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(code.replace('jax.config.update("jax_enable_x64", True)', ""), names)
    assert names["candidate"].shape == (1, 2)
    assert names["matrix"].shape == (5, 20)
    assert float(names["x"].grad.abs().sum()) > 0
