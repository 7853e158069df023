"""Entry point: the list of commands, and how an error ends the program."""

from __future__ import annotations

import os
import sys
import traceback
import warnings

import typer

import ntc
from ntc.cli import calibrate, compile, convergence, explain, import_, job, kernel, opt, predict, show
from ntc.cli.console import stderr
from ntc.errors import NtcError

app = typer.Typer(
    name="ntc",
    help="Compile neural-network architectures to their infinite-width kernels, NNGP and NTK.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (
    compile.compile_command,
    kernel.kernel_command,
    predict.predict,
    show.show_command,
    explain.explain_command,
    opt.opt,
    convergence.convergence_command,
    calibrate.calibrate_command,
    import_.import_command,
)
for command in COMMANDS:
    app.command(command.__name__.removesuffix("_command"))(command)
app.add_typer(job.app)


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
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _note
            app()
    except SystemExit as exit_:
        return 1 if exit_.code == 2 else int(exit_.code or 0)  # a wrong option is the user's mistake
    except NtcError as error:
        _fail(str(error))
        return 1
    except OSError as error:
        _fail(f"error: {error.filename or ''}: {error.strerror or error}".replace(": :", ":"))
        return 1
    except Exception as error:
        _fail(f"internal error: {type(error).__name__}: {error}")
        stderr.print("This is a defect of ntc. NTC_TRACEBACK=1 shows where it happened.", style="dim")
        if os.environ.get("NTC_TRACEBACK"):
            traceback.print_exc()
        return 2
    return 0


def _note(message: Warning | str, *place: object, **where: object) -> None:
    """A warning without the place in the code, which is not the user's."""
    stderr.print(f"note: {message}", markup=False, highlight=False, soft_wrap=True)


def _fail(message: str) -> None:
    stderr.print(message, markup=False, highlight=False, soft_wrap=True)
