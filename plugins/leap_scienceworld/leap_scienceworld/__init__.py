"""ScienceWorld as an environment for leap_exp: ``leap run env=scienceworld``."""
