"""Turning corrections into a better student."""
