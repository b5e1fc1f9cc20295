"""Sweepers and launchers of leap_exp. Hydra takes them only from packages within ``hydra_plugins``, and imports all of
them at its start, so optional packages are imported when they are used.
"""
