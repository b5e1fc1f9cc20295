"""The command lines: ``leap`` and ``python -m leap_exp``."""
