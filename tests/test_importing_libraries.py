"""Modules of Flax, Equinox and PyTorch: imported, the same numbers, the kernels of wide copies."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntc
from ntc.errors import NoLimitError
from ntc.importing import Imported
from tests.assertions import assert_close, assert_unbiased

pytestmark = [
    pytest.mark.importing,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of these libraries
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.normal(size=(3, 5))
IMAGES = GENERATOR.normal(size=(2, 16, 16, 3))
SMALL = GENERATOR.normal(size=(2, 8, 8, 3))


def linen_models() -> dict[str, tuple[Any, Any, Any]]:
    """f(params, x), the function that draws params, and examples, of modules of JAX."""
    linen = pytest.importorskip("flax.linen")
    import equinox as eqx

    from tests import importing_models as models

    batch_norm = partial(linen.BatchNorm, use_running_average=True)
    return {
        "linen MLP": (*models.of_linen(models.MLP(), ROWS), ROWS),
        "linen CNN": (*models.of_linen(models.CNN(), SMALL), SMALL),
        "linen ResNet-18, layer norm": (*models.of_linen(models.ResNet18(), IMAGES), IMAGES),
        "linen ResNet-18, batch norm": (*models.of_linen(models.ResNet18(batch_norm), IMAGES), IMAGES),
        "linen MLP-Mixer": (*models.of_linen(models.Mixer(), SMALL), SMALL),
        "linen ViT": (*models.of_linen(models.ViT(), SMALL), SMALL),
        "nnx MLP": (*models.of_nnx(models.MLPnnx), ROWS),
        "nnx CNN": (*models.of_nnx(models.CNNnnx), SMALL),
        "Equinox MLP": (*models.of_equinox(lambda key: eqx.nn.MLP(5, 2, 16, 2, jax.nn.gelu, key=key)), ROWS),
    }


NAMES = (
    "linen MLP",
    "linen CNN",
    "linen ResNet-18, layer norm",
    "linen ResNet-18, batch norm",
    "linen MLP-Mixer",
    "linen ViT",
    "nnx MLP",
    "nnx CNN",
    "Equinox MLP",
)


def options_of(name: str) -> dict[str, Any]:
    """Attention has a rule in the ntk parameterization alone."""
    return {"parameterization": "ntk"} if "ViT" in name else {}


@pytest.mark.parametrize("name", NAMES)
def test_modules_of_jax_have_their_values(name: str) -> None:
    """Protects the correspondence of parameters: the output of the module, for other parameters than the first."""
    function, draw, x = linen_models()[name]
    found = ntc.from_jax(function, draw, x, **options_of(name))
    assert isinstance(found, Imported)
    for wide, tolerance in ((True, "float64"), (False, "float32")):
        with jax.enable_x64(wide):
            dtype = jnp.float64 if wide else jnp.float32
            params = jax.tree.map(lambda a, dtype=dtype: jnp.asarray(a, dtype), draw(jax.random.key(7)))
            assert_close(found.apply(params, jnp.asarray(x, dtype)), function(params, jnp.asarray(x, dtype)), tolerance)  # type: ignore[arg-type]


WIDE = ("linen MLP", "linen CNN", "linen ResNet-18, layer norm", "nnx MLP", "nnx CNN", "Equinox MLP")


def wide_models() -> dict[str, tuple[Any, Any, Any, int]]:
    """The same wide, with how many networks are drawn."""
    import equinox as eqx

    from tests import importing_models as models

    return {
        "linen MLP": (*models.of_linen(models.MLP(512), ROWS), ROWS, 60),
        "linen CNN": (*models.of_linen(models.CNN(128), SMALL), SMALL, 40),
        "linen ResNet-18, layer norm": (*models.of_linen(models.ResNet18(widths=(64,) * 4), SMALL), SMALL, 12),
        "nnx MLP": (*models.of_nnx(partial(models.MLPnnx, width=512)), ROWS, 60),
        "nnx CNN": (*models.of_nnx(partial(models.CNNnnx, width=128)), SMALL, 40),
        "Equinox MLP": (*models.of_equinox(lambda k: eqx.nn.MLP(5, 2, 512, 2, jax.nn.gelu, key=k)), ROWS, 60),
    }


@pytest.mark.parametrize("name", [name for name in NAMES if name in WIDE])
def test_kernels_of_modules_of_jax_are_those_of_wide_copies(name: str) -> None:
    """Protects kernels of what is imported, with all that learns in it, as means over wide networks."""
    function, draw, x, count = wide_models()[name]
    found = ntc.from_jax(function, draw, x)
    assert isinstance(found, Imported)
    kernels = found.kernels(x)
    kernel_fn = jax.jit(ntc.empirical_kernel_fn(function), static_argnums=2)
    samples = [
        kernel_fn(jnp.asarray(x, jnp.float32), None, ("nngp", "ntk"), draw(jax.random.key(i))) for i in range(count)
    ]
    assert_unbiased([np.asarray(sample.nngp) for sample in samples], kernels.nngp)
    assert_unbiased([np.asarray(sample.ntk) for sample in samples], kernels.ntk)


def test_attention_has_the_kernel_of_wide_copies() -> None:
    """Protects attention: the NNGP of a ViT as a mean over wide networks."""
    pytest.importorskip("flax")
    from tests import importing_models as models

    function, draw = models.of_linen(models.ViT(256, 32, 32), SMALL)
    found = ntc.from_jax(function, draw, SMALL, parameterization="ntk")
    assert isinstance(found, Imported)
    kernels = found.kernels(SMALL)
    kernel_fn = jax.jit(ntc.empirical_nngp_fn(function))
    x = jnp.asarray(SMALL, jnp.float32)
    samples = [np.asarray(kernel_fn(x, None, draw(jax.random.key(i)))) for i in range(40)]
    assert_unbiased(samples, kernels.nngp)


def test_modules_of_torch_have_their_values() -> None:
    """Protects the correspondence of PyTorch's parameters, in float64: an MLP, and ResNet-18 with kept statistics."""
    torch = pytest.importorskip("torch")
    from tests import importing_models as models

    torch.manual_seed(0)
    cases = ((models.torch_mlp, ROWS), (lambda: models.TorchResNet18().eval(), np.moveaxis(IMAGES, -1, 1)))
    for make, x in cases:
        found = ntc.from_torch(make, torch.as_tensor(x, dtype=torch.float32))
        assert isinstance(found, Imported)
        module = make().double()
        params = {name: array.detach().numpy() for name, array in module.named_parameters()}
        expected = module(torch.as_tensor(x)).detach().numpy()
        with jax.enable_x64(True):
            assert_close(found.apply(params, x), expected, "float64")
        plain = jax.tree.map(lambda a: np.asarray(a, np.float32), params)
        assert_close(found.apply(plain, np.asarray(x, np.float32)), expected, "float32")


def test_kernels_of_torch_are_those_of_wide_copies() -> None:
    """Protects kernels of PyTorch's modules, and the scales that PyTorch draws with."""
    torch = pytest.importorskip("torch")
    from ntc.importing.modules import function_of
    from tests import importing_models as models

    torch.manual_seed(0)
    x = torch.as_tensor(ROWS, dtype=torch.float32)
    found = ntc.from_torch(partial(models.torch_mlp, 512), x)
    assert isinstance(found, Imported)
    kernels = found.kernels(ROWS)
    function = function_of(models.torch_mlp(512), x)
    kernel_fn = jax.jit(ntc.empirical_kernel_fn(function), static_argnums=2)
    samples = []
    for _ in range(60):
        params = {k: jnp.asarray(v.detach().numpy()) for k, v in models.torch_mlp(512).named_parameters()}
        samples.append(kernel_fn(jnp.asarray(ROWS, jnp.float32), None, ("nngp", "ntk"), params))
    assert_unbiased([np.asarray(sample.nngp) for sample in samples], kernels.nngp)
    assert_unbiased([np.asarray(sample.ntk) for sample in samples], kernels.ntk)


def test_the_resnet_of_torchvision_says_what_has_no_limit() -> None:
    """Protects from wrong numbers: maxima, and nonlinearities on sums with others, each with its module."""
    torch = pytest.importorskip("torch")
    from tests import importing_models as models

    with pytest.raises(NoLimitError) as raised:
        ntc.from_torch(models.TorchResNet18(first=False).eval(), torch.zeros(1, 3, 16, 16))
    places = raised.value.places
    assert places[0].startswith("pool (MaxPool2d) at importing_models.py:")
    assert [place.split(" ")[0] for place in places[1:]] == [f"layers.{i}" for i in range(8)]
    assert all("not Gaussian" in place for place in places[1:])
    with pytest.raises(NoLimitError, match="batch norm in training mode"):
        ntc.from_torch(models.TorchResNet18().train(), torch.zeros(2, 3, 16, 16))


def test_networks_are_written_as_a_person_would(tmp_path: Path) -> None:
    """Protects `ntc import`: blocks with names and repetitions, and the same network when it is read back."""
    from ntc.frontend.write import model_text

    function, draw, x = linen_models()["linen ResNet-18, layer norm"]
    found = ntc.from_jax(function, draw, x, name="resnet18")
    assert isinstance(found, Imported)
    text = model_text(found.graph)
    assert "let residual(channels)" in text
    assert "let projected(channels)" in text
    assert "|> repeat(2, residual(8))" in text
    assert len(text.splitlines()) < 45


def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Protects the page: from a Flax model to a prediction, as it stands there, and it reads most digits."""
    page = (Path(__file__).parents[1] / "docs" / "importing.md").read_text()
    code = page.partition("```text\n")[2].partition("```")[0]
    exec(code, {})
    shown = capsys.readouterr().out.splitlines()
    assert any("w_std" in line for line in shown)
    assert float(shown[-1]) > 0.85
