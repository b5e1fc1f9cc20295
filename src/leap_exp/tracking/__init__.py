"""Trackers: metrics.jsonl in the run folder, and optionally Weights & Biases."""
