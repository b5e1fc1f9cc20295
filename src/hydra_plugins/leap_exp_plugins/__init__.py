"""Sweepers and launchers of leap_exp.

Hydra takes them only from packages within ``hydra_plugins``. It imports all modules there when it starts, so these
import optional packages only when they are used.
"""
