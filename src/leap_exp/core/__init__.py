"""The words of the framework: records, protocols, disclosure, seeds and errors (standard library only)."""
