"""The environments, one package each, and the contract that all of them satisfy."""
