"""Pictures show the numbers that they are given."""

from __future__ import annotations

import io
from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

import ntc.plot
from ntc import nn
from ntc.errors import InputError
from ntc.finite.convergence import Convergence
from ntc.ir.ops import Erf, Relu
from ntc.plot.activations import chi_1
from ntc.predict import Posterior


@pytest.fixture(autouse=True)
def no_windows() -> Iterator[None]:
    """Pictures are drawn where there is no screen, and every one can be written."""
    mpl.use("Agg")
    yield
    for number in plt.get_fignums():
        plt.figure(number).savefig(io.BytesIO(), format="png", dpi=30)
    plt.close("all")


def test_a_kernel_is_shown_in_the_order_of_classes() -> None:
    """Protects the heat map: examples of one class lie together, lines between classes, correlations of one."""
    x = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.1]])
    axes = ntc.plot.kernel(x @ x.T, labels=["b", "a", "b"], correlation=True)
    shown = axes.images[0].get_array()
    np.testing.assert_allclose(np.diagonal(shown), 1)
    assert shown[1, 2] > 0.99  # the two of class b
    assert [line.get_xdata()[0] for line in axes.lines if line.get_ydata()[0] == 0] == [0.5]


def test_the_spectrum_is_that_of_the_matrix() -> None:
    """Protects the scale: eigenvalues over the mean of the diagonal, largest first, so that diag_reg is a height."""
    axes = ntc.plot.spectrum(np.diag([1.0, 6.0, 2.0]))
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [2, 2 / 3, 1 / 3])


def test_what_is_no_kernel_is_refused() -> None:
    """Protects who passes both kernels at once, or k(x1, x2) where k(x, x) is needed."""
    with pytest.raises(InputError, match="two axes"):
        ntc.plot.kernel(np.zeros((2, 3, 3)))
    with pytest.raises(InputError, match="square"):
        ntc.plot.spectrum(np.zeros((2, 3)))
    with pytest.raises(InputError, match=r"labels should have shape \(2,\)"):
        ntc.plot.kernel(np.eye(2), labels=[1, 2, 3])


@pytest.mark.parametrize("phi", ["relu", "leaky_relu(0.1)", "activation(x * tanh(x))", nn.gelu(), Erf(), "sign"])
def test_maps_of_nonlinearities_end_at_one(phi: object) -> None:
    """Protects the map of correlations of any nonlinearity, by name, with parameters, as layer and as op."""
    function, maps = ntc.plot.activation(phi, variance=2.0)  # type: ignore[arg-type]
    assert np.isfinite(function.lines[0].get_ydata()).all()
    assert maps.lines[0].get_ydata()[-1] == pytest.approx(1)
    assert len(maps.lines) == (2 if phi == "sign" else 3)  # the derivative of a step is zero


def test_relu_is_critical_at_the_root_of_two() -> None:
    """Protects chi_1: of relu it is w_std^2 / 2 whatever the bias (He et al. 2015), NaN where the variance diverges;
    of erf without bias it is one at sqrt(pi) / 2, the inverse of its slope at zero."""
    found = chi_1(Relu(), np.array([1.0, np.sqrt(2), 2.0]), np.array([0.3, 0.0, 0.3]))
    np.testing.assert_allclose(found, [0.5, 1.0, np.nan])
    steep = np.sqrt(np.pi) / 2
    below, above = chi_1(Erf(), np.array([0.99, 1.01]) * steep, np.zeros(2))
    assert below < 1 < above


def test_phases_of_a_network_have_its_scales() -> None:
    """Protects the marks: one for each pair of scales of the layers; a network of two nonlinearities is refused."""
    network = nn.input(3) >> nn.dense(4, w_std=1.5, b_std=0.2) >> nn.erf() >> nn.dense(1, w_std=nn.hyper(0.7, "last"))
    axes = ntc.plot.phases(network)
    assert sorted(zip(*axes.lines[0].get_data(), strict=True)) == [(0.7, 0.0), (1.5, 0.2)]
    with pytest.raises(InputError, match="it has erf, relu"):
        ntc.plot.phases(network >> nn.relu() >> nn.dense(1))


LAW = Posterior(np.array([[1.0], [3.0], [2.0]]), np.array([0.25, 1.0, 0.0]))


def test_a_posterior_is_drawn_along_its_input() -> None:
    """Protects regression of one input: the order of x, two standard deviations, training points."""
    axes = ntc.plot.posterior([[2.0], [0.0], [1.0]], LAW, [0.5], [[7.0]])
    np.testing.assert_allclose(axes.lines[0].get_data(), [[0, 1, 2], [3, 2, 1]])
    np.testing.assert_allclose(axes.lines[1].get_data(), [[0.5], [7.0]])
    assert axes.collections[0].get_paths()[0].get_extents().ymax == 5
    with pytest.raises(InputError, match=r"ntc.plot.predicted"):
        ntc.plot.posterior(np.zeros((3, 2)), LAW)


def test_predictions_and_scores_are_the_numbers_given() -> None:
    """Protects scatter, confusion matrix, calibration and learning curve."""
    predicted = ntc.plot.predicted([1.0, 2.0, 2.0], LAW)
    np.testing.assert_allclose(predicted.containers[0][0].get_data(), [[1, 2, 2], [1, 3, 2]])
    confusion = ntc.plot.confusion([0, 1, 1], [0, 1, 0], names=["cat", "dog"])
    assert [text.get_text() for text in confusion.get_xticklabels()] == ["cat", "dog"]
    assert [text.get_text() for text in confusion.texts] == ["1", "1", "1"]
    assert confusion.get_title() == "accuracy 0.667"
    calibration = ntc.plot.calibration([[0.9, 0.1], [0.95, 0.05], [0.3, 0.7]], [0, 1, 1], bins=10)
    np.testing.assert_allclose([bar.get_height() for bar in calibration.patches], [1.0, 0.5])
    curve = ntc.plot.learning_curve([10.0, 1.0], {"accuracy": [0.9, 0.5]})
    np.testing.assert_allclose(curve.lines[0].get_data(), [[1, 10], [0.5, 0.9]])


def test_convergence_has_a_panel_for_every_kernel() -> None:
    """Protects the picture of finite networks: errors over networks times width, a line for each width."""
    errors = 1 / np.sqrt(np.multiply.outer([4, 8], [1, 2, 4]))
    found = Convergence(np.array([4, 8]), np.array([1, 2, 4]), {"nngp": errors, "ntk": 2 * errors})
    panels = ntc.plot.convergence(found)
    assert [panel.get_title() for panel in panels] == ["NNGP: slope -0.50", "NTK: slope -0.50"]
    np.testing.assert_allclose(panels[1].lines[1].get_data(), [[8, 16, 32], 2 * errors[1]])
