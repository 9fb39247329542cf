"""Measurements of Muniment, each beside its limit in the same run. `python -m bench --help`."""
