"""What the records say: intervals and tests, realizability of corrections, leakage of hidden facts."""
