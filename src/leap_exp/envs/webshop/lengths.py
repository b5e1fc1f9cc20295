"""Lucene's one-byte code for the length of a document (``SmallFloat.intToByte4``)."""

from __future__ import annotations

import numpy as np

_EXACT = 24
"""Lengths below this one have a code each; above, three bits of mantissa are kept."""

_MANTISSA_BITS = 3


def encoded(length: int) -> int:
    """The code, 0 to 255, of a length of ``length`` terms."""
    if length < _EXACT:
        return length
    rest = length - _EXACT
    shift = rest.bit_length() - _MANTISSA_BITS - 1
    if shift < 0:
        return _EXACT + rest
    mantissa = (rest >> shift) & ((1 << _MANTISSA_BITS) - 1)
    return _EXACT + (mantissa | (shift + 1) << _MANTISSA_BITS)


def decoded(code: int) -> int:
    """The length that ``code`` stands for: the smallest one that has it."""
    if code < _EXACT:
        return code
    bits = code - _EXACT
    shift = (bits >> _MANTISSA_BITS) - 1
    mantissa = bits & ((1 << _MANTISSA_BITS) - 1)
    return _EXACT + (mantissa if shift < 0 else (mantissa | 1 << _MANTISSA_BITS) << shift)


def length_norms(codes: np.ndarray, average: np.float32, *, k1: float, b: float) -> np.ndarray:
    """What BM25 multiplies a term's frequency by, for documents whose lengths have ``codes`` (float32)."""
    lengths = np.array([decoded(int(code)) for code in codes], dtype=np.float32)
    k1_, b_, one = np.float32(k1), np.float32(b), np.float32(1)
    return one / (k1_ * ((one - b_) + b_ * lengths / average))
