"""Students and scripted policies: all that can act in an environment."""
