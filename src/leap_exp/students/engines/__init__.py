"""Engines: what computes a student's tokens and probabilities."""
