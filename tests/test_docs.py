"""What the documentation shows is what happens."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from ntc.errors import NtcError
from ntc.frontend.elaborate import load_graph, read_graph
from ntc.ir.printer import show
from ntc.passes.pipeline import OPTIMIZE, run
from ntc.passes.translate import Translate
from tools import importing, layers

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
LANGUAGE = (ROOT / "docs" / "language.md").read_text()
NET = "model net =\n  input(8, 8, 3) |> conv(64, 3)\n  |> relu |> relu |> dense(1)\n"


def indented(text: str, first: str) -> str:
    """The indented block whose first line begins with `first`, without its indentation."""
    found = re.search(rf"^    {re.escape(first)}.*(\n(    .*)?$)*", text, re.MULTILINE)
    assert found
    return re.sub(r"^    ", "", found[0], flags=re.MULTILINE).strip("\n")


def test_python_in_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Protects the first thing that a reader tries."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    assert names["kernels"].nngp.shape == (4, 3)  # type: ignore[attr-defined]
    assert "[" in capsys.readouterr().out


def test_python_in_the_page_on_finite_networks_runs() -> None:
    """Protects the page: its examples run, and numbers are what the text says: training lowers the loss, to zero in the
    limit, and Monte Carlo stops at its precision."""
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "finite.md").read_text(), re.DOTALL):
        exec(code, names)
    assert names["empirical"].shape == (5, 5)
    assert names["estimate"].samples <= 100
    loss, f = names["loss"], names["linear"]
    assert loss(names["trained"], f) < loss(names["params"], f)
    assert loss(names["weights"](None), f) < 1e-8


def test_python_in_the_page_on_migration_runs() -> None:
    """Protects scripts for Neural Tangents: what the page shows runs, with results of the shapes that it says."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "migrating.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    for code in blocks:
        exec(code, names)
    assert names["ntk"].shape == names["kernels"].ntk.shape == (20, 10)
    assert names["mean"].shape == (10, 1)
    assert names["covariance"].shape == (10, 10)
    assert names["gradient"].shape == (10, 8)
    assert names["outputs"].shape == (10, 1)
    assert names["empirical"].shape == (20, 10)
    assert names["composed"].shape == names["frozen"].shape == (20, 10)
    assert names["deep"].shape == names["scaled"].shape == (20, 20)


def test_the_model_in_the_readme_is_the_example() -> None:
    """Protects the model file that the README shows: it is the demo's network."""
    assert read_graph(indented(README, "# digits_cnn.nt")) == load_graph(ROOT / "examples" / "digits_cnn.nt")


def test_the_model_in_the_language_reference_is_valid() -> None:
    """Protects the first example of the reference, for any of its parameters."""
    text = indented(LANGUAGE, "# Everything after a hash")
    assert len(read_graph(text, parameters={"n": "4"}).nodes) > len(read_graph(text).nodes)


@pytest.mark.parametrize("text", [README, LANGUAGE], ids=["readme", "language"])
def test_the_error_in_the_documentation_is_the_error(text: str) -> None:
    """Protects the message shown, to the last character."""
    with pytest.raises(NtcError) as error:
        read_graph(NET, "net.nt")
    assert indented(text, "net.nt:") == str(error.value)


@pytest.mark.parametrize("number", range(len(OPTIMIZE)), ids=[pass_.name for pass_ in OPTIMIZE])
def test_pages_of_passes_show_what_they_do(number: int) -> None:
    """Protects the page of every pass: the IR before and after it is what the passes print. NTC_UPDATE_GOLDEN=1
    writes it anew."""
    path = ROOT / "docs" / "passes" / f"{OPTIMIZE[number].name}.md"
    text = path.read_text()
    (model,) = re.findall(r"```nt\n(.*?)```", text, re.DOTALL)
    stages = [run(read_graph(model), [Translate(("nngp",)), *OPTIMIZE[:n]]) for n in (number, number + 1)]
    parts = [f"```ir\n{show(graph, locations=False)}```" for graph in stages]
    shown = re.sub(r"```ir\n.*?```", lambda _: parts.pop(0), text, flags=re.DOTALL)
    if os.environ.get("NTC_UPDATE_GOLDEN") == "1":
        path.write_text(shown)
    assert path.read_text() == shown
    assert stages[0] != stages[1]


def test_files_named_in_the_readme_exist() -> None:
    """Protects links and commands."""
    for name in re.findall(r"\]\((?!http)([^)]+)\)|(?<=ntc )\w+ (examples/\S+\.nt)", README):
        assert (ROOT / "".join(name)).exists(), name


def test_the_page_of_layers_is_up_to_date() -> None:
    """Protects docs/layers.md, which `python -m tools.layers` writes."""
    assert layers.DOCUMENT.read_text() == layers.document()


def test_the_page_of_importing_is_up_to_date() -> None:
    """Protects docs/importing.md, which `python -m tools.importing` writes from the recogniser."""
    assert importing.DOCUMENT.read_text() == importing.document()
