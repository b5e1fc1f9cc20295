"""Seeds derived from a seed and a scope, so that no two uses of randomness share a stream."""

import hashlib

SEED_BITS = 63


def derive_seed(seed: int, *scope: str | int) -> int:
    """Return a seed for the use named by ``scope``, in [0, 2**63): the beginning of a SHA-256 over seed and scope.

    The same arguments give the same seed on every machine and in every process.
    """
    name = "\x1f".join([str(seed), *(str(part) for part in scope)])
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - SEED_BITS)
