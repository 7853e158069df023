"""Entry point: the list of commands, and how an error ends the program."""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from importlib import import_module
from typing import Any

import typer
import typer.main
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

import ntc
from ntc.cli.console import note, stderr
from ntc.errors import NtcError, UsageError

COMMANDS = {
    "example": ("example:example_command", "Write a model and data to begin with."),
    "compile": ("compile:compile_command", "Compile a model for a platform, which need not be this machine's."),
    "kernel": ("kernel:kernel_command", "Compute the NNGP and NTK matrices between examples."),
    "predict": ("predict:predict", "Train on one file, predict another: means, variances, scores."),
    "show": ("show:show_command", "Print the layers of a model, or write a page for a browser."),
    "explain": ("explain:explain_command", "Show which covariances are tracked, what that costs, and why."),
    "opt": ("opt:opt", "Run passes on a graph in text form."),
    "convergence": ("convergence:convergence_command", "Compare random finite networks with the infinite one."),
    "calibrate": ("calibrate:calibrate_command", "Measure the speed of this machine, for predicted times."),
    "import": ("import_:import_command", "Write a network of Flax, Equinox, PyTorch or JAX as a model file."),
    "job": ("job:app", "Plan, watch, verify, compute and export a store of kernels."),
}
"""Where each command is, in `ntc.cli`, and what the list of commands says of it. A command is imported when it is
used: all of them take a second, most of it JAX's and SciPy's."""

_USAGE, _MISTAKE, _DEFECT = 2, 1, 70
"""Exit statuses: of a wrong command line; of a model, data or a file that is wrong; of a defect (EX_SOFTWARE)."""

_CommandLineError: Any = typer.BadParameter.__mro__[1]
"""What typer raises for a wrong command line; it exports only some of the classes beneath."""


class _Lazy(TyperCommand):
    """A command that is imported when it is called."""

    def __init__(self, name: str) -> None:
        self._place, line = COMMANDS[name]
        super().__init__(name, help=line)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return self.command().make_context(info_name, args, parent, **extra)

    def command(self) -> Any:
        """The command itself."""
        module, attribute = self._place.split(":")
        found = getattr(import_module(f"ntc.cli.{module}"), attribute)
        if not isinstance(found, typer.Typer):
            single = typer.Typer(context_settings=_SETTINGS, add_completion=False)
            single.command(self.name)(found)
            found = single
        return typer.main.get_command(found)


class _Commands(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings | {"commands": {name: _Lazy(name) for name in COMMANDS}})


_SETTINGS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="ntc",
    cls=_Commands,
    help="Compile neural-network architectures to their infinite-width kernels, NNGP and NTK.",
    epilog="Exit status: 0; 1 for a mistake in a model, data or a file; 2 in the command line; 70 for a defect of ntc.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=_SETTINGS,
)


@app.callback(invoke_without_command=True)
def version(show_version: bool = typer.Option(False, "--version", "-V", help="Print the version and exit.")) -> None:
    """Compile neural-network architectures to their infinite-width kernels, NNGP and NTK."""
    if show_version:
        print(ntc.__version__)
        raise typer.Exit


def main() -> None:
    """Runs the command line and exits."""
    sys.exit(run())


def run() -> int:
    """Runs the command line; the exit status."""
    as_json = "--json" in sys.argv
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _note
            return int(app(standalone_mode=not as_json) or 0)
    except SystemExit as exit_:
        return int(exit_.code or 0)
    except _CommandLineError as error:  # with --json; else typer has printed it
        return _fail(_USAGE, UsageError(error.format_message()), as_json)
    except NtcError as error:
        return _fail(_USAGE if isinstance(error, UsageError) else _MISTAKE, error, as_json)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(_MISTAKE, NtcError(f"{where}{error.strerror or error}"), as_json)
    except MemoryError as error:
        return _fail(_MISTAKE, NtcError(f"out of memory {error}".strip()), as_json)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:
        if os.environ.get("NTC_TRACEBACK"):
            traceback.print_exc()
        hint = "this is a defect of ntc; NTC_TRACEBACK=1 shows where it happened"
        return _fail(_DEFECT, NtcError(f"internal error: {type(error).__name__}: {error}", hint=hint), as_json)


def _note(message: Warning | str, *place: object, **where: object) -> None:
    """A warning without the place in the code, which is not the user's."""
    note(str(message))


def _fail(status: int, error: NtcError, as_json: bool) -> int:
    """Prints an error for people or, with --json, for programs, on stderr."""
    if as_json:
        print(json.dumps({"error": error.facts(), "status": status}), file=stderr.file)
        return status
    text = Text(str(error))
    text.highlight_regex(r"(?m)^(\S+:\d+:\d+: )?error:", "bold red")
    text.highlight_regex(r"(?m)^ +\^+$", "bold red")
    text.highlight_regex(r"(?m)^  hint:", "bold cyan")
    stderr.print(text, soft_wrap=True)
    return status
