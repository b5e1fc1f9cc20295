"""The configuration of a run: its settings, the registry of components, and how a command line becomes a run."""
