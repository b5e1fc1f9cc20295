"""The environments as other libraries expect them. Each interface needs its own library, and nothing else does."""
