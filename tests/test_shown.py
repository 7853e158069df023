"""What the project shows runs: commands of its pages, examples and benchmarks, all of them, at sizes of seconds."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import ntc.calibrate
from benchmarks.__main__ import BENCHMARKS, ELSEWHERE
from ntc.ir.ops import TENSOR_OPS
from tests import command_line, shown
from tests.shown import ROOT
from tests.test_docs import LANGUAGE, indented
from tools.site import error_pages, formulas, layer_pages

SKIPPED = {
    "make setup": "installs; `make test` begins with it",
    "make demo": ".ci/run runs it",
    "python examples/digits.py --output out": "`make demo` is this",
    "make test": "these are its tests",
    "make test-slow": "these are its tests",
    "make lint": ".ci/run runs it",
    "make test-jax": "makes environments of other releases; .ci/run runs its extremes",
    "make test-adapters": "installs tinygp, GPJax, GPyTorch and BoTorch",
    "make test-engines": "installs Ray, Beam and submitit",
    "make bench": "measures Neural Tangents, which needs an environment of its own; its benchmarks run here without",
    "make accelerators": "compiles for GPUs and TPUs, which needs an environment of its own",
    "ntc compile examples/wrn.nt --target cuda --check --n 4": "needs a compiler for GPUs; `make accelerators` has one",
    'pip install "neural-tangent-compiler[cuda-compiler]"': "installs",
    "NTC_UPDATE_GOLDEN=1 make test": "rewrites what tests expect",
    "pip install .": "installs; tools/jax_versions.py does so, and runs README's Python",
    'pip install ".[demo,sklearn,dynamics]"': "installs; tools/jax_versions.py does so with other extras",
    'pip install -U "jax[cuda12]"': "installs what needs a GPU",
    'pip install "neural-tangent-compiler[dynamics]"': "installs",
    'pip install "neural-tangent-compiler[sklearn]"': "installs",
    'pip install "neural-tangent-compiler[jobs]"': "installs",
    'pip install "neural-tangent-compiler[dask]"': "installs",
    'pip install "neural-tangent-compiler[slurm]"': "installs",
    'pip install "neural-tangent-compiler[ray]"': "installs",
    'pip install "neural-tangent-compiler[beam]"': "installs",
    **{
        f"ntc kernel examples/digits_fc.nt --x1 a.npy --store k.zarr --engine {engine}": "needs what is not here"
        for engine in ("dask --scheduler tcp://10.0.0.1:8786", "ray --scheduler auto", "beam --scheduler FnApiRunner")
    },
    "ntc kernel examples/wrn.nt --x1 a.npy --store k.zarr --engine slurm --workers 64 --gpus 1": "needs SLURM",
    "python -m tools.layers": "writes docs/layers.md; test_docs compares it",
    "python -m tools.importing": "writes docs/importing.md; test_docs compares it",
    "make test-importing": "installs Flax, Equinox and PyTorch",
    "ntc import model.py:build_model -o model.nt": "test_importing_cli runs such code",
    'pip install "neural-tangent-compiler[torch]"': "installs",
    "python -m tools.activation_errors": "writes docs/activations.md; test_activations compares it",
    "python tools/mutate.py": "takes hours; test_meta looks at its mutations",
    "pip install neural_tangent_compiler-*.whl": "installs; `make dist` does so",
    'pip install "neural_tangent_compiler-0.1.0-py3-none-any.whl[demo]"': "installs; `make dist` does so",
    'pip install ".[demo]"': "installs; `make test-jax` does so",
    "make docs": "builds the site, in an environment of its own; .ci/run runs it",
    "make dist": "builds distributions; .ci/run runs it",
}
"""Commands that do not run here, and why. Their targets exist, and those of Python answer `--help`."""

SMALLER = {
    "ntc compile examples/wrn.nt --target tpu": ("-p n=1",),
    "ntc convergence examples/digits_conv.nt": ("--widths 2", "--samples 1,2", "--n 2"),
    "ntc kernel tuned.nt": ("--x1 pixels.npy", "-o k.npz"),
    "python -m benchmarks": ("--quick",),
    "python examples/distillation.py": ("--steps", "1"),
    "python examples/reviews.py": ("--train", "12", "--test", "4"),
}
"""What is added to commands that begin so: small sizes, and what the text leaves out."""

COMMANDS = shown.all_commands()
MENTIONS = [command for command in COMMANDS if shown.is_mention(command)]
TABLES = [f"python -m benchmarks {name}" for name in BENCHMARKS]  # these all run, named by a page or not
RUN = [command for command in COMMANDS if command not in (*SKIPPED, *MENTIONS, *TABLES)]
HELPFUL = [
    "python -m benchmarks",
    "python -m benchmarks.inference",
    *(f"python -m benchmarks.paper.{path.stem}" for path in (ROOT / "benchmarks" / "paper").glob("[!_o]*.py")),
    *(f"python -m tools.{path.stem}" for path in (ROOT / "tools").glob("*.py")),
    *(f"python examples/{path.name}" for path in shown.SCRIPTS),
]
MODELS = [
    (path, model)
    for path in sorted((ROOT / "examples").glob("*.nt"))
    for model in re.findall(r"^model (\w+)", path.read_text(), re.MULTILINE)
]

again = pytest.mark.filterwarnings("ignore:.*found in sys.modules.*:RuntimeWarning")
"""Modules that run here as programs have been imported by other tests."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages speak of: models, inputs of 8x8 digits, a training and a test set."""
    folder = tmp_path_factory.mktemp("shown")
    shutil.copytree(ROOT / "examples", folder / "examples")
    (folder / "resnet.nt").write_text(indented(LANGUAGE, "# Everything after a hash"))
    (folder / "tuned.nt").write_text(indented(LANGUAGE, "let depth = hyper"))
    model = "model fitted(w_std = hyper(1.5)) =\n  input(8, 8, 1) |> flatten |> dense(16, w_std) |> relu |> dense(10)\n"
    (folder / "model.nt").write_text(model)
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16).reshape(-1, 8, 8, 1).astype(np.float32)
    np.save(folder / "a.npy", images[:3])
    np.save(folder / "b.npy", images[3:5])
    np.save(folder / "pixels.npy", np.random.default_rng(0).normal(size=(2, 784)).astype(np.float32))
    np.savez(folder / "train.npz", x=images[:30], y=labels[:30])
    np.savez(folder / "test.npz", x=images[30:40], y=labels[30:40])
    command_line.run(folder, "example hour")
    program = ntc.build(ntc.load_graph(ROOT / "examples" / "digits_fc.nt"))
    ntc.jobs.create(program, images[:3], store=folder / "k.zarr").run()
    return folder


@pytest.fixture
def unwritten() -> Iterator[None]:
    """Fails a test after which a table or a picture of the pages is another."""
    results = {path: path.read_bytes() for room in ("benchmarks", "docs") for path in (ROOT / room).glob("*.[mp][dn]*")}
    yield
    assert results == {path: path.read_bytes() for path in results}


@again
@pytest.mark.usefixtures("unwritten")
@pytest.mark.parametrize("command", RUN)
def test_commands_of_the_pages_run(command: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects what a reader types: every command of the pages, as it is there, or at a smaller size."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    few = ntc.calibrate.samples()[:2]
    monkeypatch.setattr(ntc.calibrate, "samples", lambda: few)
    more = [words for start, words in SMALLER.items() if command.startswith(start)]
    place = tmp_path if command.startswith("ntc example") else folder
    shown.run(command, place, *(more[0] if more else ()))


def test_what_is_skipped_is_there() -> None:
    """Protects the list of exceptions: each is still in a page, and `make` has every target that a page names."""
    assert set(SKIPPED) <= set(COMMANDS)
    targets = {command.split()[-1] for command in COMMANDS if " make " in f" {command} "}
    assert targets <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("command", MENTIONS)
def test_options_of_the_pages_exist(command: str, tmp_path: Path) -> None:
    """Protects pages that name a command of `ntc` without what it is for: it is there, with the options named."""
    _, name, *rest = command.split()
    found = command_line.run(tmp_path, f"{name} --help").stdout
    assert all(option in found for option in re.findall(r"--[a-z-]+", " ".join(rest)))


@again
@pytest.mark.parametrize("command", HELPFUL)
def test_programs_answer_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Protects whoever looks first: benchmarks, tools and examples say what they do, and do nothing."""
    shown.shows_help(command)
    assert "usage:" in capsys.readouterr().out


@again
@pytest.mark.usefixtures("unwritten")
@pytest.mark.parametrize(
    "name", [name for name in BENCHMARKS if not name.startswith("peer:") and name not in ELSEWHERE]
)
def test_benchmarks_run(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Protects every benchmark: it runs at a quick size, without the peer, and prints a table."""
    shown.run_python(f"python -m benchmarks {name} --quick")
    assert "| --- |" in capfd.readouterr().out


@again
def test_a_case_of_the_peer_runs_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """Protects `peer:CASE`, which is the benchmark of the peer with one row; and unknown names end with a message."""
    shown.run_python("python -m benchmarks peer:small --quick")
    assert "global average pool, 16x16" in capfd.readouterr().out
    with pytest.raises(SystemExit):
        shown.run_python("python -m benchmarks peer:nothing")
    assert "unknown benchmark peer:nothing" in capfd.readouterr().err


@pytest.mark.parametrize(("path", "model"), MODELS, ids=[f"{path.stem}-{model}" for path, model in MODELS])
def test_models_of_the_examples_compute(path: Path, model: str, tmp_path: Path) -> None:
    """Protects every model file: both kernels of one input with itself are positive, and the NTK is the larger."""
    graph = ntc.load_graph(path, model)
    type_ = graph.tensor_of(graph.inputs[0].name)
    x = np.random.default_rng(0).normal(size=(1, *type_.spatial, type_.channels)).astype(np.float32)
    kernels = ntc.build(graph)(x)
    assert 0 < float(kernels.nngp[0, 0]) < float(kernels.ntk[0, 0]) < np.inf


ELSEWHERE_TESTED = {"README.md", "finite.md", "migrating.md", "inference.md", "jobs.md", "adapters.md"}
"""Pages whose Python other tests run, and look at what comes out."""

PYTHON_PAGES = [page for page in shown.PAGES if "```python" in page.read_text() and page.name not in ELSEWHERE_TESTED]


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=lambda page: page.stem)
def test_python_in_the_pages_runs(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects a reader who copies: blocks of a page run one after the other, where its commands have run."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    exec("\n".join(blocks), {"__name__": page.stem})


def test_every_page_has_a_place_in_the_site() -> None:
    """Protects the contents of the site, which are written by hand: every page of docs/ is in them. Pages of layers and
    errors are written from the code, and the example of every layer is a network."""
    contents = (ROOT / "mkdocs.yml").read_text()
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    pages += [path.relative_to(ROOT / "docs") for path in (ROOT / "docs" / "notebooks").glob("*.py")]
    assert [str(page) for page in pages if f": {page}\n" not in contents] == []
    assert "## NotGaussianError" in error_pages.page()
    assert all(f"# {cls.name}" in layer_pages.page(cls) for cls in TENSOR_OPS.values())


def test_formulas_are_typeset() -> None:
    """Protects the pages of layers: Greek letters, roots, exponents and indices; what is code stays as it is."""
    shown = formulas.page_text(
        "phi(x) = w_std^2 `b_std` sqrt(pi).\n\nProse of phi. Source: someone (arXiv:1912.02803)."
    )
    assert "φ(<i>x</i>) = <i>w</i><sub>std</sub><sup>2</sup> <code>b_std</code> √(π)." in shown
    assert '<strong>Source:</strong> someone (<a href="https://arxiv.org/abs/1912.02803">' in shown
