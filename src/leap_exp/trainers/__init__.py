"""Trainers: one fit loop, and objectives that turn scores into a loss."""
