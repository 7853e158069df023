"""`ntc`, and `python -m ntc`."""

from __future__ import annotations

import signal


def main() -> None:
    """The command line. While it is being imported, Ctrl-C ends the process at once, as there is nothing to undo."""
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ntc.cli.main import main as command_line

    signal.signal(signal.SIGINT, handler)
    command_line()


if __name__ == "__main__":
    main()
