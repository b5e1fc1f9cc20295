"""The verbs of the loop: roll out, correct, aggregate, train, evaluate, probe."""
