"""ntc import: a network that is written in Python, with any library, as a model file."""

from __future__ import annotations

from typing import Annotated

import typer

from ntc.cli import options
from ntc.cli.console import stderr
from ntc.files import write_text


def import_command(
    model: Annotated[
        str, typer.Argument(help="Python code and a name in it: model.py:build_model.", show_default=False)
    ],
    output: options.TextOutput = None,
    param: options.Parameters = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the model; default: of the function.")] = None,
    table: Annotated[bool, typer.Option("--table", help="Print what became of every parameter, on stderr.")] = False,
) -> None:
    """Write a network of Flax, Equinox, PyTorch or JAX as a model file. The code is run."""
    from ntc.frontend.write import model_text
    from ntc.importing.python_file import imported
    from ntc.importing.result import Imported

    found = imported(model, options.parameters(param))
    graph = found.graph if isinstance(found, Imported) else found
    comment = f"Imported from {model} by `ntc import`."
    if isinstance(found, Imported) and table:
        print(found.table, file=stderr.file)
    write_text(output, model_text(graph, name, comment))
