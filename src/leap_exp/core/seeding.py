"""Seeds derived from a seed and a scope, so that no two uses of randomness share a stream by accident."""

import hashlib

SEED_BITS = 63


def derive_seed(seed: int, *scope: str | int) -> int:
    """A seed for the use named by ``scope``: SHA-256 over seed and scope, in [0, 2**63).

    The same arguments give the same seed on every machine and in every process.
    """
    name = "\x1f".join([str(seed), *(str(part) for part in scope)])
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - SEED_BITS)
