"""ntc predict: train on one file, predict another."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import typer

from ntc import datasets
from ntc.cli import options, plot
from ntc.cli.announce import announce, profiled
from ntc.cli.console import reporting
from ntc.cli.curves import Curves, curves, read_times
from ntc.cli.curves import draw as draw_curves
from ntc.cli.stores import watching
from ntc.errors import InputError
from ntc.ir.types import Kernel

if TYPE_CHECKING:
    from ntc.backends.jax.program import Program
    from ntc.jobs import Job
    from ntc.predict import Posterior

SolverName = Literal["auto", "cholesky", "cg", "nystrom"]


def predict(
    model_file: options.ModelPath,
    train: Annotated[Path, typer.Option("--train", help="Training set, .npz with x and y, or cifar10:FOLDER.")],
    test: Annotated[Path, typer.Option("--test", help="Test set, .npz with x, and y to score; cifar10-test:FOLDER.")],
    kernel: Annotated[Kernel, typer.Option("--kernel", help="nngp: Bayesian; ntk: trained networks.")] = "nngp",
    diag_reg: Annotated[float, typer.Option("--diag-reg", min=0, help="Relative to the mean of the diagonal.")] = 1e-4,
    output: Annotated[Path, options.written("-o", "--output", help="Where to write results.")] = Path(
        "predictions.npz"
    ),
    plot_file: Annotated[Path | None, options.drawn("--plot", help="Where to draw the predictions, .png.")] = None,
    fit: Annotated[bool, typer.Option("--fit", help="Hyperparameters of largest marginal likelihood.")] = False,
    times: Annotated[str | None, typer.Option("--times", help="Also predict at times of training: 0,10,1e3.")] = None,
    curve_file: Annotated[Path | None, options.drawn("--plot-curve", help="Scores over --times, .png.")] = None,
    model: options.ModelName = None,
    param: options.Parameters = None,
    hyper: options.HyperOption = None,
    target: options.RunTarget = None,
    dtype: options.RunDType = None,
    trust: options.Trust = False,
    as_json: options.Json = False,
    self_test: options.SelfTest = True,
    profile: options.Profile = None,
    store: Annotated[str | None, typer.Option("--store", help="Of training kernels; folder or URL.")] = None,
    solver: Annotated[SolverName, typer.Option("--solver", help="How a stored kernel is solved with.")] = "auto",
    rank: Annotated[int | None, typer.Option("--rank", min=1, help="Columns that cg and nystrom use; 500.")] = None,
    variances: Annotated[bool, typer.Option("--variances/--no-variances", help="Or means alone.")] = True,
    scratch: Annotated[Path | None, typer.Option("--scratch", help="Folder for a factor in a file.")] = None,
) -> None:
    """Exact inference: means and variances at the test inputs, and scores where the test set has labels.

    Integer labels are classes, regressed as one-hot vectors; real ones are values, regressed around their mean.
    """
    options.together("--store", store, {"--fit": fit, "--times": times}, allowed=False)
    of_store = {"--solver": solver != "auto", "--rank": rank, "--no-variances": not variances, "--scratch": scratch}
    options.together("--store", store, of_store, allowed=True)
    at_times = None if times is None else read_times(times)
    kernels: tuple[Kernel, ...] = ("nngp",) if kernel == "nngp" else ("nngp", "ntk")
    program = options.open_program(model_file, model, param, target=target, dtype=dtype, kernels=kernels, trust=trust)
    program = program.with_hyper(options.hyper_values(hyper)).with_self_test(None if self_test else False)
    data = _read(train, test)
    if curve_file and (at_times is None or data.y_test is None):
        raise InputError("--plot-curve needs --times, and y in the test set")
    start = time.perf_counter()
    announce(program, data.x_train, None)
    program, scores = _fitted(program, data, kernel, diag_reg) if fit else (program, {})
    with profiled(profile):
        solving = None if store is None else Stored(store, solver, rank or 500, variances, scratch)
        posterior, facts = _posterior(program, data, kernel, diag_reg, solving)
    scores |= {"kernel": kernel, "train": len(data.x_train), "test": len(data.x_test)} | facts
    scores |= data.scores(posterior) | {"seconds": time.perf_counter() - start}
    arrays = {"mean": posterior.mean, "variance": posterior.variance}
    if at_times is not None:
        found, curve = _over_times(program, data, kernel, diag_reg, at_times, curve_file)
        scores |= {f"{name}_at_times": values for name, values in curve.items()}
        arrays |= found.arrays()
    options.write_arrays(output, arrays)
    if plot_file:
        plot.draw(plot_file, data.x_test, data.y_test, posterior, data.classes)
    scores["output"] = str(output)
    print(json.dumps(scores) if as_json else "\n".join(f"{k}: {_shown(v)}" for k, v in scores.items()))


def _over_times(
    program: Program, data: _Data, kernel: Kernel, diag_reg: float, times: Any, curve_file: Path | None
) -> tuple[Curves, dict[str, Any]]:
    """Predictions at times of training, and their scores, which are drawn if that is asked for."""
    found = curves(program, data.x_train, data.targets, data.x_test, kernel, diag_reg, times)
    found = replace(found, mean=found.mean + data.offset)
    curve = found.scores(data.scores)
    if curve_file:
        draw_curves(curve_file, times, curve)
    return found, curve


@dataclass(frozen=True)
class Stored:
    """Where training kernels are stored, and how they are solved with."""

    store: str
    solver: SolverName
    rank: int
    variances: bool
    scratch: Path | None


def _posterior(
    program: Program, data: _Data, kernel: Kernel, diag_reg: float, stored: Stored | None
) -> tuple[Posterior, dict[str, Any]]:
    """Predictions at the test inputs, and what is worth knowing of how they were made."""
    from ntc.predict import Posterior, Solving, Trained

    train = (program, data.x_train, data.targets, kernel, diag_reg)
    with reporting() as report:
        if stored is None:
            found, facts = Trained(*train, report).predict(data.x_test, progress=report), {}
        else:
            job = _job(program, data, stored)
            scratch = None if stored.scratch is None else str(stored.scratch)
            solving = Solving(stored.solver, stored.rank, scratch=scratch)
            wanted = _digits(solving.tolerance)
            solving = replace(solving, progress=lambda _, residual: report("residual", _digits(residual), wanted))
            trained = Trained(*train, store=job, solving=solving)
            found = trained.predict(data.x_test, progress=report, variances=stored.variances)
            facts = trained.facts()
    return Posterior(found.mean + data.offset, found.variance), facts


def _digits(residual: float) -> int:
    """Of a residual, in hundredths of one."""
    return 0 if residual >= 1 else int(-100 * math.log10(max(residual, 1e-300)))


def _job(program: Program, data: _Data, stored: Stored) -> Job:
    """The job of the training kernels, with the blocks that the solver reads."""
    from ntc import jobs
    from ntc.jobs.create import check_examples
    from ntc.jobs.store import Store

    if Store(stored.store).exists:
        job = jobs.load(stored.store)
        check_examples(job, program, data.x_train)
    else:
        job = jobs.create(program, data.x_train, store=stored.store)
    with watching(None) as report:
        job.run(report=report, rows=stored.rank if stored.solver == "nystrom" else None)
    return job


def _fitted(program: Program, data: _Data, kernel: Kernel, diag_reg: float) -> tuple[Program, dict[str, Any]]:
    """The program with the hyperparameters of largest evidence, and what was found."""
    from ntc.predict import fit_hyper

    most = 100
    with reporting() as report:
        found = fit_hyper(
            program,
            data.x_train,
            data.targets,
            diag_reg,
            kernel=kernel,
            max_iterations=most,
            progress=lambda done, _: report("fit", done, most),
        )
    return program.with_hyper(found.parameters), {"hyper": found.parameters, "log_marginal_likelihood": found.value}


@dataclass(frozen=True)
class _Data:
    """A training and a test set; `classes` is 0 for regression."""

    x_train: npt.NDArray[Any]
    targets: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64] | float
    x_test: npt.NDArray[Any]
    y_test: npt.NDArray[Any] | None
    classes: int

    def scores(self, posterior: Posterior) -> dict[str, float]:
        from ntc.predict import accuracy, root_mean_square_error

        if self.y_test is None:
            return {}
        if self.classes:
            return {"accuracy": accuracy(posterior.mean, self.y_test)}
        return {"rmse": root_mean_square_error(posterior.mean, self.y_test.reshape(posterior.mean.shape))}


def _read(train: Path, test: Path) -> _Data:
    from ntc.predict import one_hot

    x_train, y_train = options.read_array(train, "x"), options.read_array(train, "y")
    x_test, y_test = options.read_array(test, "x"), _labels(test)
    if _is_binary(y_train) and (y_test is None or _is_binary(y_test)):
        y_train, y_test = (y_train > 0).astype(np.int64), None if y_test is None else (y_test > 0).astype(np.int64)
    if y_test is not None and len(y_test) != len(x_test):
        raise InputError(f"{test}: x has {len(x_test)} examples, y has {len(y_test)}")
    if y_train.dtype.kind in "iu" and y_train.ndim == 1:
        labels = y_train if y_test is None else np.concatenate([y_train, y_test.astype(y_train.dtype)])
        if not len(y_train) or labels.min() < 0 or labels.max() > 10_000:
            raise InputError(f"{train}: class labels should be 0, 1, ..., up to 10000")
        classes = int(labels.max()) + 1
        return _Data(x_train, one_hot(y_train, classes), 0.0, x_test, y_test, classes)
    if y_train.dtype.kind not in "fiub" or not len(y_train):
        raise InputError(f"{train}: y should hold numbers, got {y_train.dtype} of shape {y_train.shape}")
    targets = y_train.reshape(len(y_train), -1).astype(np.float64)
    if y_test is not None and y_test.size != len(y_test) * targets.shape[1]:
        raise InputError(f"{test}: y has shape {y_test.shape}, that of the training set is {y_train.shape}")
    offset = targets.mean(axis=0)
    return _Data(x_train, targets - offset, offset, x_test, y_test, 0)


def _is_binary(y: npt.NDArray[Any]) -> bool:
    """Whether labels are truth values, or -1 and +1."""
    return y.ndim == 1 and (y.dtype.kind == "b" or (y.dtype.kind == "i" and set(np.unique(y)) == {-1, 1}))


def _labels(path: Path) -> npt.NDArray[Any] | None:
    if datasets.is_named(str(path)):
        return options.read_array(path, "y")
    with np.load(path, allow_pickle=False) as archive:
        has_labels = "y" in archive.files
    return options.read_array(path, "y") if has_labels else None


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
