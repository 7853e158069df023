"""ntc predict: train on one file, predict another."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer

from ntc.cli import files, options
from ntc.cli.announce import announce, profiled
from ntc.cli.console import reporting
from ntc.cli.curves import Curves, curves, read_times
from ntc.cli.stores import watching
from ntc.cli.training_data import TrainingData, read
from ntc.errors import UsageError
from ntc.ir.types import Kernel

if TYPE_CHECKING:
    from ntc.backends.jax.program import Program
    from ntc.jobs import Job
    from ntc.predict import Posterior, Trained

PREDICTIONS = Path("predictions.npz")
DiagReg = Annotated[str, typer.Option("--diag-reg", help="Relative to the mean of the diagonal, or auto.")]
_FIRST = 0.1
"""The regularisation from which it is fitted."""

SolverName = Literal["auto", "cholesky", "cg", "nystrom"]


def predict(
    model_file: options.ModelPath,
    train: Annotated[Path, typer.Option("--train", help="Training set: .npz with x and y, .csv, or cifar10:FOLDER.")],
    test: Annotated[Path, typer.Option("--test", help="Test set; with labels, predictions are scored.")],
    kernel: Annotated[Kernel, typer.Option("--kernel", help="nngp: Bayesian; ntk: trained networks.")] = "nngp",
    diag_reg: DiagReg = "1e-4",
    output: Annotated[Path, files.written_binary("-o", "--output", help="Where to write results.")] = PREDICTIONS,
    plot_file: Annotated[Path | None, files.drawn("--plot", help="Where to draw the predictions, .png.")] = None,
    fit: Annotated[bool, typer.Option("--fit", help="Hyperparameters of largest marginal likelihood.")] = False,
    times: Annotated[str | None, typer.Option("--times", help="Also predict at times of training: 0,10,1e3.")] = None,
    curve_file: Annotated[Path | None, files.drawn("--plot-curve", help="Scores over --times, .png.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="Column of labels in .csv files; default: y.")] = None,
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

    Whole numbers, truth values and names are classes; real numbers are values, regressed around their mean.
    """
    regularisation = _regularisation(diag_reg)
    options.together("--store", store, {"--fit": fit, "--times": times}, allowed=False)
    of_store = {"--solver": solver != "auto", "--rank": rank, "--no-variances": not variances, "--scratch": scratch}
    options.together("--store", store, of_store, allowed=True)
    options.together("--times", times, {"--plot-curve": curve_file}, allowed=True)
    at_times = None if times is None else read_times(times)
    kernels: tuple[Kernel, ...] = ("nngp",) if kernel == "nngp" else ("nngp", "ntk")
    program = options.open_program(model_file, model, param, kernels, options.Place(target, dtype, trust))
    program = program.with_hyper(options.hyper_values(hyper)).with_self_test(None if self_test else False)
    data = read(train, test, label, scored=curve_file is not None)
    start = time.perf_counter()
    announce(program, data.plain(fit or times or store), None)
    fitted = _fitted(program, data, kernel, regularisation) if fit else _Fitted(program, regularisation)
    with profiled(profile):
        solving = None if store is None else Stored(store, solver, rank or 500, variances, scratch)
        posterior, facts = _posterior(fitted, data, kernel, solving)
    scores = fitted.facts | {"kernel": kernel, "train": len(data.x_train), "test": len(data.x_test)} | facts
    scores |= data.scores(posterior, facts.get("temperature")) | {"seconds": time.perf_counter() - start}
    arrays = data.arrays(posterior, facts.get("temperature"))
    if at_times is not None:
        by_time, curve = _over_times(fitted.program, data, kernel, facts["diag_reg"], at_times, curve_file)
        scores |= {f"{name}_at_times": values for name, values in curve.items()}
        arrays |= by_time.arrays()
    files.write_arrays(output, arrays)
    if plot_file:
        _draw(plot_file, data, posterior)
    scores |= {"output": str(output)}
    print(json.dumps(scores) if as_json else "\n".join(f"{k}: {_shown(v)}" for k, v in scores.items()))


def _regularisation(text: str) -> float | Literal["auto"]:
    """What `--diag-reg` says. Raises UsageError."""
    if text == "auto":
        return "auto"
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise UsageError(f"--diag-reg {text}: expected a number from 0, or auto")
    return number


def _over_times(
    program: Program, data: TrainingData, kernel: Kernel, diag_reg: float, times: Any, curve_file: Path | None
) -> tuple[Curves, dict[str, Any]]:
    """Predictions at times of training, and their scores, which are drawn if that is asked for."""
    from ntc import plot
    from ntc.plot import canvas

    found = curves(program, data.plain(True), data.targets, data.x_test, kernel, diag_reg, times)
    found = replace(found, mean=found.mean + data.offset)
    curve = found.scores(data.scores)
    if curve_file:
        figure, (axes,) = canvas.blank()
        plot.learning_curve(times, curve, axes=axes)
        canvas.save(figure, curve_file)
    return found, curve


def _draw(path: Path, data: TrainingData, posterior: Posterior) -> None:
    """Of classes the confusion matrix; of values the band over a single input, or predictions against true values."""
    from ntc import plot
    from ntc.plot import canvas

    figure, (axes,) = canvas.blank()
    if data.classes is not None and data.y_test is not None:
        plot.confusion(data.y_test, np.argmax(posterior.mean, axis=1), list(data.classes), axes=axes)
    elif data.classes is None and math.prod(data.x_test.shape[1:]) == 1:
        plot.posterior(data.x_test, posterior, data.x_train, data.targets + data.offset, axes=axes)
    elif data.y_test is not None:
        plot.predicted(data.y_test, posterior, axes=axes)
    else:
        axes.errorbar(np.arange(len(posterior.mean)), posterior.mean[:, 0], 2 * np.sqrt(posterior.variance), fmt=".")
        axes.set(xlabel="example", ylabel="mean, 2 standard deviations")
    canvas.save(figure, path)


@dataclass(frozen=True)
class Stored:
    """Where training kernels are stored, and how they are solved with."""

    store: str
    solver: SolverName
    rank: int
    variances: bool
    scratch: Path | None


@dataclass(frozen=True)
class _Fitted:
    """A program with its hyperparameters, a regularisation, and what was found of both."""

    program: Program
    diag_reg: float | Literal["auto"]
    facts: dict[str, Any] = field(default_factory=dict)


def _posterior(
    fitted: _Fitted, data: TrainingData, kernel: Kernel, stored: Stored | None
) -> tuple[Posterior, dict[str, Any]]:
    """Predictions at the test inputs, and what is worth knowing of how they were made."""
    from ntc.predict import Posterior, Solving, Trained

    train = (fitted.program, data.x_train, data.targets, kernel, fitted.diag_reg)
    with reporting() as report:
        if stored is None:
            trained = Trained(*train, report)
            found, facts = trained.predict(data.x_test, progress=report), _temperature(trained, data)
        else:
            job = _job(fitted.program, data, stored)
            scratch = None if stored.scratch is None else str(stored.scratch)
            solving = Solving(stored.solver, stored.rank, scratch=scratch)
            wanted = _digits(solving.tolerance)
            solving = replace(solving, progress=lambda _, residual: report("residual", _digits(residual), wanted))
            trained = Trained(*train, store=job, solving=solving)
            found = trained.predict(data.x_test, progress=report, variances=stored.variances)
            facts = trained.facts()
    return Posterior(found.mean + data.offset, found.variance), {"diag_reg": float(trained.diag_reg)} | facts


def _temperature(trained: Trained, data: TrainingData) -> dict[str, float]:
    """Of classes, at which outputs for training examples, each predicted by all others, are good probabilities."""
    from ntc.predict import fit_temperature
    from ntc.predict.choose_diag_reg import drawn
    from ntc.predict.posterior import Regression

    if data.classes is None or not isinstance(trained.regression, Regression):
        return {}
    rows = drawn(len(data.targets))
    labels = np.argmax(data.targets[rows], axis=1)
    return {"temperature": fit_temperature(trained.regression.left_out(rows), labels)}


def _digits(residual: float) -> int:
    """Of a residual, in hundredths of one."""
    return 0 if residual >= 1 else int(-100 * math.log10(max(residual, 1e-300)))


def _job(program: Program, data: TrainingData, stored: Stored) -> Job:
    """The job of the training kernels, with the blocks that the solver reads."""
    from ntc import jobs
    from ntc.jobs.create import check_examples
    from ntc.jobs.store import Store

    if Store(stored.store).exists:
        job = jobs.load(stored.store)
        check_examples(job, program, data.plain(True))
    else:
        job = jobs.create(program, data.plain(True), store=stored.store)
    with watching(None) as report:
        job.run(report=report, rows=stored.rank if stored.solver == "nystrom" else None)
    return job


def _fitted(program: Program, data: TrainingData, kernel: Kernel, diag_reg: float | Literal["auto"]) -> _Fitted:
    """The program with the hyperparameters of largest evidence, and a regularisation that is fitted with them if it is
    not given."""
    from ntc.predict import fit_hyper

    most = 100
    with reporting() as report:
        found = fit_hyper(
            program,
            data.plain(True),
            data.targets,
            _FIRST if diag_reg == "auto" else diag_reg,
            kernel=kernel,
            fit_diag_reg=diag_reg == "auto",
            fit_scale=diag_reg == "auto",
            max_iterations=most,
            progress=lambda done, _: report("fit", done, most),
        )
    facts = {"hyper": found.parameters, "log_marginal_likelihood": found.value}
    return _Fitted(program.with_hyper(found.parameters), found.diag_reg, facts)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
