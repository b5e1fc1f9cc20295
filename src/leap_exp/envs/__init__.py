"""The environments, one package each, and what they share."""
