"""What the records of runs show: statistics, realizability of corrections, leakage of hidden facts, tables of runs."""
