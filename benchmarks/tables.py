"""The estimators on tables, beside those of scikit-learn: writes TABLES.md beside this file.

Data are what scikit-learn ships or draws. Five folds, the same for all; features are scaled to mean zero and variance
one on the training folds. Nothing is tuned by hand: all are as they are by default, and what a model chooses, it
chooses itself from the training folds. The Gaussian process for regression has no noise by default, and is given some.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets, metrics
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from benchmarks.measure import environment, markdown
from ntc.estimators import NNGPClassifier, NNGPRegressor, NTKClassifier, NTKRegressor

ROOT = Path(__file__).parent
_START = "# Estimators on tables\n\n`python -m benchmarks tables`, "
_NEAR = """
Bold is near the best: within one standard error of it (that of the best) among scikit-learn's models, and itself.

"""
FOLDS = 5

Table = tuple[Any, Any]
Makers = dict[str, Callable[[], Any]]

REGRESSION: dict[str, Callable[[], Table]] = {
    "diabetes": lambda: datasets.load_diabetes(return_X_y=True),
    "friedman1": lambda: datasets.make_friedman1(500, noise=1.0, random_state=0),
    "friedman2": lambda: datasets.make_friedman2(500, noise=100.0, random_state=0),
    "friedman3": lambda: datasets.make_friedman3(500, noise=0.1, random_state=0),
    "linear": lambda: datasets.make_regression(500, 20, n_informative=10, noise=50.0, random_state=0),
    "sparse_uncorrelated": lambda: datasets.make_sparse_uncorrelated(500, 10, random_state=0),
    "swiss_roll": lambda: datasets.make_swiss_roll(500, noise=0.5, random_state=0),
}

CLASSIFICATION: dict[str, Callable[[], Table]] = {
    "breast_cancer": lambda: datasets.load_breast_cancer(return_X_y=True),
    "wine": lambda: datasets.load_wine(return_X_y=True),
    "digits": lambda: datasets.load_digits(return_X_y=True),
    "iris": lambda: datasets.load_iris(return_X_y=True),
    "moons": lambda: datasets.make_moons(500, noise=0.3, random_state=0),
    "circles": lambda: datasets.make_circles(500, noise=0.2, factor=0.5, random_state=0),
    "classification": lambda: datasets.make_classification(
        500, 20, n_informative=8, n_classes=3, flip_y=0.05, random_state=0
    ),
    "gaussian_quantiles": lambda: datasets.make_gaussian_quantiles(n_samples=500, n_features=6, random_state=0),
    "hastie": lambda: datasets.make_hastie_10_2(1000, random_state=0),
}

OURS = ("NNGP", "NNGP, optimize", "NNGP, length scales", "NTK")

REGRESSORS: Makers = {
    "NNGP": NNGPRegressor,
    "NNGP, optimize": lambda: NNGPRegressor(optimize=True),
    "NNGP, length scales": lambda: NNGPRegressor(optimize=True, length_scales=True),
    "NTK": NTKRegressor,
    "random forest": lambda: RandomForestRegressor(random_state=0),
    "boosting": lambda: HistGradientBoostingRegressor(random_state=0),
    "ridge": RidgeCV,
    "Gaussian process": lambda: GaussianProcessRegressor(RBF() + WhiteKernel(), normalize_y=True),
    "SVM": SVR,
}

CLASSIFIERS: Makers = {
    "NNGP": NNGPClassifier,
    "NNGP, optimize": lambda: NNGPClassifier(optimize=True),
    "NNGP, length scales": lambda: NNGPClassifier(optimize=True, length_scales=True),
    "NTK": NTKClassifier,
    "random forest": lambda: RandomForestClassifier(random_state=0),
    "boosting": lambda: HistGradientBoostingClassifier(random_state=0),
    "logistic": LogisticRegression,
    "Gaussian process": lambda: GaussianProcessClassifier(random_state=0),
    "SVM": SVC,
}


@dataclass(frozen=True)
class Result:
    """Of one model on one table: fold by fold, and seconds of all folds."""

    scores: Any
    losses: Any
    seconds: float

    @property
    def score(self) -> float:
        return float(np.mean(self.scores))

    @property
    def error(self) -> float:
        """The standard error of the mean over folds."""
        return float(np.std(self.scores, ddof=1) / len(self.scores) ** 0.5)

    @property
    def loss(self) -> float:
        return float(np.mean(self.losses))


def evaluated(make: Callable[[], Any], x: Any, y: Any, classes: bool) -> Result:
    """R² or accuracy, and log loss where there are probabilities, else NaN."""
    folds = (StratifiedKFold if classes else KFold)(FOLDS, shuffle=True, random_state=0)
    scores, losses, start = [], [], time.perf_counter()
    for train, test in folds.split(x, y):
        model = make_pipeline(StandardScaler(), make())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of optimisers that end at a bound
            model.fit(x[train], y[train])
        scores.append(model.score(x[test], y[test]))
        if classes and hasattr(model, "predict_proba"):
            losses.append(metrics.log_loss(y[test], model.predict_proba(x[test]), labels=model.classes_))
        else:
            losses.append(np.nan)
    return Result(np.array(scores), np.array(losses), time.perf_counter() - start)


def measured(tables: dict[str, Callable[[], Table]], makers: Makers, classes: bool) -> dict[str, dict[str, Result]]:
    """By table and model."""
    return {
        name: {model: evaluated(make, *load(), classes) for model, make in makers.items()}
        for name, load in tables.items()
    }


def near_best(results: dict[str, Result], model: str) -> bool:
    """Whether a model is within one standard error of the best, that of the best, of itself and scikit-learn's."""
    others = {name: result for name, result in results.items() if name not in OURS or name == model}
    best = max(others.values(), key=lambda result: result.score)
    return results[model].score >= best.score - best.error


def _scores(found: dict[str, dict[str, Result]]) -> str:
    rows: list[tuple[object, ...]] = []
    for table, results in found.items():
        cells = {model: f"{result.score:.3f} ± {result.error:.3f}" for model, result in results.items()}
        rows.append((table, *(f"**{cell}**" if near_best(results, model) else cell for model, cell in cells.items())))
    models = list(next(iter(found.values())))
    counts = {model: sum(near_best(results, model) for results in found.values()) for model in models}
    rows.append(("near the best", *(f"{counts[model]} of {len(found)}" for model in models)))
    return markdown(("", *models), rows)


def _numbers(found: dict[str, dict[str, Result]], of: Callable[[Result], float]) -> str:
    models = [m for m, result in next(iter(found.values())).items() if np.isfinite(of(result))]
    rows: list[tuple[object, ...]] = [(t, *(f"{of(results[m]):.3g}" for m in models)) for t, results in found.items()]
    return markdown(("", *models), rows)


def main(quick: bool = False) -> str:
    """The tables, which are kept in TABLES.md. `quick` is one small table of either kind and the fastest models."""
    few = ("NNGP", "ridge", "logistic", "SVM")
    tables = [REGRESSION, CLASSIFICATION]
    makers = [REGRESSORS, CLASSIFIERS]
    if quick:
        tables = [
            {"friedman1": lambda: datasets.make_friedman1(60, random_state=0)},
            {"iris": lambda: datasets.load_iris(return_X_y=True)},
        ]
        makers = [{name: make for name, make in chosen.items() if name in few} for chosen in makers]
    regression, classification = (measured(t, m, c) for t, m, c in zip(tables, makers, (False, True), strict=True))
    page = page_of(regression, classification)
    if not quick:
        write(page)
    return page


def page_of(regression: dict[str, dict[str, Result]], classification: dict[str, dict[str, Result]]) -> str:
    """All tables."""
    return "\n\n".join(
        [
            f"R², mean and standard error over {FOLDS} folds",
            _scores(regression),
            "Accuracy",
            _scores(classification),
            "Log loss",
            _numbers(classification, lambda result: result.loss),
            f"Seconds of {FOLDS} folds, training and predictions",
            _numbers(regression, lambda result: result.seconds),
            _numbers(classification, lambda result: result.seconds),
        ]
    )


def write(page: str) -> None:
    """Writes TABLES.md."""
    about = (__doc__ or "").split("\n", 2)[2]
    (ROOT / "TABLES.md").write_text(f"{_START}{environment()}\n\n{about}{_NEAR}{page}\n")


if __name__ == "__main__":
    print(main())
