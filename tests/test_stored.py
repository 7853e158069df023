"""Solving with stored kernels: operators, block conjugate gradients, columns, and predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ntc
from ntc import jobs, predict
from ntc.errors import InputError, ParameterError, UnsupportedError
from ntc.predict import cholesky
from ntc.predict.nystrom import nystrom_preconditioner
from ntc.predict.solvers import stored_regression
from tests.assertions import assert_close
from tests.stores import NETWORK, X, is_plain, plain_job, plain_work, small_job

TEST = np.random.default_rng(5).normal(size=(6, 6)).astype(np.float32)
Y = np.stack([np.sin(X.sum(1)), X[:, 0] * X[:, 1]], 1)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> jobs.Job:
    """The small job, complete."""
    job = small_job(tmp_path_factory.mktemp("stored") / "k.zarr")
    job.run()
    return job


@pytest.fixture(scope="module")
def program() -> ntc.Program:
    return ntc.build(NETWORK)


@pytest.mark.parametrize("label", ["nngp", "ntk"])
def test_a_stored_operator_is_the_matrix(label: str, job: jobs.Job) -> None:
    """Protects products with stored kernels: diagonal, rows, columns, and products with several vectors are those of
    the matrix, with examples in the order in which they were given."""
    operator, k = predict.StoredOperator(job.kernel(label)), np.asarray(job.kernel(label), np.float64)
    right = np.random.default_rng(1).normal(size=(43, 3))
    assert operator.size == 43
    assert np.array_equal(operator.diagonal(), np.diagonal(k))
    assert np.array_equal(operator.row(17), k[17])
    assert np.array_equal(operator.columns(np.array([40, 2, 19])), k[:, [40, 2, 19]])
    assert_close(operator.product(right), k @ right, "rounding")
    assert_close(predict.conjugate_gradients(operator, Y, 1e-3).coefficients, solved(k, 1e-3, Y), "float64")


def solved(k: Any, diag_reg: float, right: Any) -> Any:
    """(K + r mean(diag K) I)^-1 right."""
    return np.linalg.solve(k + diag_reg * np.diagonal(k).mean() * np.eye(len(k)), right)


def matrix(n: int = 60, seed: int = 0) -> Any:
    """A symmetric, positive definite matrix whose eigenvalues fall."""
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]
    return basis @ (10.0 ** np.linspace(0, -5, n)[:, None] * basis.T)


@pytest.mark.parametrize("columns", [1, 4])
def test_block_conjugate_gradients_solve(columns: int) -> None:
    """Protects block CG, against a direct solution: right-hand sides that are zero or copies too."""
    a = matrix() + 1e-3 * np.eye(60)
    right = np.random.default_rng(2).normal(size=(60, columns))
    right = np.hstack([right, right[:, :1], np.zeros((60, 1))])
    seen: list[float] = []
    found = predict.block_conjugate_gradients(
        lambda x: a @ x, right, lambda x: x, 1e-10, progress=lambda _, residual: seen.append(residual)
    )
    assert_close(found.coefficients, np.linalg.solve(a, right), "float32")
    assert np.abs(a @ found.coefficients - right).max() < 1e-8
    assert found.residual < 1e-9
    assert len(seen) == found.iterations
    with pytest.raises(InputError, match=r"a residual of .* in 2 iterations, not 1e-10"):
        predict.block_conjugate_gradients(lambda x: a @ x, right, lambda x: x, 1e-10, 2)


def test_columns_make_a_preconditioner() -> None:
    """Protects the point of the columns: iterations fall as there are more of them."""
    k, noise, right = matrix(), np.full((60, 1), 1e-4), np.random.default_rng(2).normal(size=(60, 2))
    counts = []
    for rank in (0, 10, 40):
        own = np.arange(rank)
        inverse = (
            nystrom_preconditioner(k[:, own], k[np.ix_(own, own)], np.diagonal(k), noise).apply if rank else np.copy
        )
        found = predict.block_conjugate_gradients(lambda x: k @ x + noise * x, right, inverse, 1e-9)
        counts.append(found.iterations)
    assert counts[0] > counts[1] > counts[2]


@pytest.mark.parametrize("kernel", ["nngp", "ntk"])
@pytest.mark.parametrize("solver", ["auto", "cholesky", "scratch", "cg"])
def test_regression_on_a_store_is_regression(
    kernel: Any, solver: Any, job: jobs.Job, program: ntc.Program, tmp_path: Path
) -> None:
    """Protects predictions: means and variances from a store equal those with kernels that are computed, whether the
    factor is in memory, in a file, or there is none."""
    expected = predict.regress(program, X, Y, TEST, kernel, 1e-2)
    solving = predict.Solving(solver, rank=20, tolerance=1e-9)
    solving = predict.Solving(scratch=str(tmp_path)) if solver == "scratch" else solving
    found = predict.regress(program, X, Y, TEST, kernel, 1e-2, store=job, solving=solving)
    assert_close(found.mean, expected.mean, "float32")
    assert_close(found.variance, expected.variance, "float32")
    assert not list(tmp_path.iterdir())


def test_columns_alone_are_enough(program: ntc.Program, tmp_path: Path) -> None:
    """Protects the solver nystrom: with all examples it is exact; with some it needs only blocks of these, and equals
    the formula in weights."""
    job = small_job(tmp_path / "k.zarr")
    job.run(rows=20)
    assert job.missing == 3  # of ten: those of the last two rows of blocks
    expected, k, diagonal = (x.nngp for x in (program(TEST, X), program(X), program.diagonal(TEST)))
    some = job.kernel().order1[:20]
    found = predict.regress(program, X, Y, TEST, "nngp", 1e-2, store=job, solving=predict.Solving("nystrom", rank=20))
    c, w = np.asarray(k, np.float64)[:, some], np.asarray(k, np.float64)[np.ix_(some, some)]
    r, test = 1e-2 * np.diagonal(w).mean(), np.asarray(expected, np.float64)[:, some]
    inner = c.T @ c + r * w
    assert_close(found.mean, test @ np.linalg.solve(inner, c.T @ Y), "float32 near correlation one")
    reduced = np.sum(test.T * (np.linalg.solve(w, test.T) - r * np.linalg.solve(inner, test.T)), 0)
    assert_close(found.variance, np.asarray(diagonal) - reduced, "float32 near correlation one")
    with pytest.raises(InputError, match=r"3 of 10 blocks .* are missing"):
        predict.regress(program, X, Y, TEST, store=job, solving=predict.Solving("cg"))
    with pytest.raises(UnsupportedError, match="no variances of trained networks"):
        predict.regress(program, X, Y, TEST, "ntk", store=job, solving=predict.Solving("nystrom", rank=20))
    job.run()
    whole = predict.regress(program, X, Y, TEST, "nngp", 1e-2, store=job, solving=predict.Solving("nystrom", rank=43))
    assert_close(whole.mean, predict.regress(program, X, Y, TEST, "nngp", 1e-2).mean, "float32 near correlation one")


def test_variances_may_be_left_out(job: jobs.Job, program: ntc.Program) -> None:
    """Protects large test sets: means need one solution for the targets, variances one for every test input."""
    trained = predict.Trained(program, X, Y, store=job, solving=predict.Solving("cg"))
    found = trained.predict(TEST, variances=False)
    assert np.isnan(found.variance).all()
    assert np.array_equal(found.mean, trained.predict(TEST).mean)
    facts = trained.facts()
    assert facts["iterations"] > 1
    assert facts["residual"] < 1e-7


def test_the_error_of_columns_is_said(job: jobs.Job, program: ntc.Program) -> None:
    """Protects users of the solver nystrom: it says how far its kernel is from that of the network, which is less with
    more columns, and rounding with all of them."""
    errors = []
    for rank in (5, 20, 43):
        trained = predict.Trained(program, X, Y, "ntk", store=job, solving=predict.Solving("nystrom", rank=rank))
        errors.append(trained.facts()["kernel_error"])
    assert 1 > errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-4


def test_stored_kernels_stand_for_arrays(job: jobs.Job, program: ntc.Program) -> None:
    """Protects the rest of `ntc.predict`, which takes a stored kernel where it takes a matrix."""
    k, stored = program(X).nngp, job.kernel("nngp")
    assert_close(predict.leave_one_out(stored, Y, 1e-2).mean, predict.leave_one_out(k, Y, 1e-2).mean, "float32")
    evidence = predict.log_marginal_likelihood(stored, Y, 1e-2)
    assert_close(evidence, predict.log_marginal_likelihood(k, Y, 1e-2), "float32")
    cross = program(TEST, X).nngp
    one, other = (predict.gp_inference(x, Y, 1e-2)("nngp", cross) for x in (stored, k))
    assert_close(one, other, "float32")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x_train": X[:40]}, "is of 43 other examples than those given, 40"),
        ({"x_train": X[::-1].copy()}, "is of 43 other examples"),
        ({"y_train": Y[:40]}, "one row for each of the 43"),
        ({"solving": predict.Solving("lu")}, "solver should be one of auto"),  # type: ignore[arg-type]
        ({"solving": predict.Solving(scratch="no/such")}, "there is no folder no/such for the factor"),
        ({"solving": predict.Solving(rank=0)}, "rank and max_iterations should be positive"),
        ({"diag_reg": -1.0, "solving": predict.Solving("cg")}, "diag_reg should not be negative"),
        ({"diag_reg": 0.0, "solving": predict.Solving("nystrom")}, "needs a positive diag_reg"),
        ({"program": ntc.build(NETWORK, dtype="float64")}, "is not the store of k"),
    ],
)
def test_what_does_not_fit_a_store(changed: dict[str, Any], message: str, job: jobs.Job, program: ntc.Program) -> None:
    """Protects predictions from kernels of other examples, in any order, and of other networks."""
    given = {"program": program, "x_train": X, "y_train": Y, "x_test": TEST, "store": job} | changed
    with pytest.raises(InputError, match=message):
        predict.regress(**given)


def test_a_store_of_two_sets_is_no_system(tmp_path: Path) -> None:
    """Protects from solving with what is not square, or has positions."""
    job = plain_job(tmp_path / "k.zarr", 8, 12)
    for task in job.manifest.blocks.tasks():
        plain_work(job.store.url, task)
    assert is_plain(job)
    with pytest.raises(InputError, match=r"should be k\(x, x\) of shape"):
        stored_regression(job, np.zeros(8), "nngp", 1e-2, predict.Solving("cg"))


@pytest.mark.parametrize("panel", [7, 20, 60, 100])
def test_factors_by_panels(panel: int) -> None:
    """Protects the factorisation of large matrices, of any number of panels: the factor of LAPACK, in place, in memory
    or in a file; and where there is none, the place."""
    a = matrix() + 1e-3 * np.eye(60)
    found = np.asfortranarray(a)
    assert cholesky.factorised(found, panel) == 0
    assert_close(np.tril(found), np.linalg.cholesky(a), "float64")
    right = np.random.default_rng(2).normal(size=(60, 2))
    assert_close(cholesky.solved(found, right, panel), np.linalg.solve(a, right), "float64")
    a[41, 41] = -1.0
    assert cholesky.factorised(np.asfortranarray(a), panel) == 42


def test_predictions_of_large_systems(monkeypatch: pytest.MonkeyPatch, program: ntc.Program) -> None:
    """Protects predictions from many examples, whose matrix is factorised by panels, and the diagnosis of what has no
    factor."""
    k, cross = program(X).nngp, program(TEST, X).nngp
    expected = predict.gp_inference(k, Y, 1e-2)("nngp", cross)
    monkeypatch.setattr(cholesky, "LARGE", 10)
    assert_close(predict.gp_inference(k, Y, 1e-2)("nngp", cross), expected, "float32")
    with pytest.raises(InputError, match="is not positive definite"):
        predict.gp_inference(-np.asarray(k), Y, 1e-2)("nngp", cross)


def test_estimators_on_a_store(tmp_path: Path) -> None:
    """Protects the estimators of scikit-learn with a store: their predictions are those without, the store is used
    again, and what it does not serve is refused."""
    from ntc.estimators import NNGPRegressor

    y, store = np.sin(X.sum(1)), str(tmp_path / "k.zarr")
    plain = NNGPRegressor(diag_reg=1e-2).fit(X, y)
    stored = NNGPRegressor(diag_reg=1e-2, store=store, solver="cg").fit(X, y)
    assert_close(stored.predict(TEST), plain.predict(TEST), "float32")
    for found, expected in zip(
        stored.predict(TEST, return_std=True), plain.predict(TEST, return_std=True), strict=True
    ):
        assert_close(found, expected, "float32")
    assert jobs.load(store).missing == 0
    with pytest.raises(ParameterError, match="training to convergence"):
        NNGPRegressor(t=3.0, store=store).fit(X, y)
