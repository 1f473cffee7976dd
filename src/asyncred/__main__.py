"""``python -m asyncred``: the same as the command ``asyncred``."""

from asyncred.commands.cli import main

main()
