"""``python -m asyncred``: the same as the command ``asyncred``."""

from asyncred.cli import main

main()
