"""`python -m muniment` is the command line."""

from __future__ import annotations

from muniment.cli import main

main(prog_name="muniment")
