"""The environments behind the interfaces that other libraries and the original benchmarks use."""
