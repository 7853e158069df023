"""`python -m ntc` is `ntc`."""

from ntc.cli.main import main

main()
