"""The kernels as estimators of scikit-learn: `pip install "neural-tangent-compiler[sklearn]"`.

Inputs are (n, features); features are reshaped to the shape of the network's input. What is fitted is exact inference
with the kernel, see `ntc.predict`: the NNGP estimators are the Bayesian posterior of the infinitely wide network, the
NTK estimators the law of networks trained by gradient descent.
"""

from ntc.estimators.classifier import NNGPClassifier, NTKClassifier
from ntc.estimators.models import DEFAULT, graph_of, program_of
from ntc.estimators.regressor import NNGPRegressor, NTKRegressor

__all__ = ["DEFAULT", "NNGPClassifier", "NNGPRegressor", "NTKClassifier", "NTKRegressor", "graph_of", "program_of"]
