"""How alike two outputs are: the cosine of their TF-IDF vectors, as scikit-learn's ``TfidfVectorizer`` has it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping

_WORD = re.compile(r"\b\w\w+\b")


def similarity(first: str, second: str) -> float:
    """Cosine, in [0, 1] up to rounding, of two texts; 1 or 0 for equality where neither has words.

    As with the vectorizer's defaults, fitted on these two texts: words are runs of two or more letters, digits or
    underscores in lower case, a word that n of the texts have counts 1 + ln(3 / (1 + n)) times, vectors have length 1.
    """
    counts = [Counter(_WORD.findall(text.lower())) for text in (first, second)]
    if not any(counts):
        return float(first == second)
    one, other = (_unit_vector(own, counts) for own in counts)
    return sum(value * other[word] for word, value in one.items() if word in other)


def _unit_vector(own: Mapping[str, int], counts: list[Counter[str]]) -> dict[str, float]:
    weights = {
        word: count * (1 + math.log((1 + len(counts)) / (1 + sum(word in each for each in counts))))
        for word, count in own.items()
    }
    length = math.sqrt(sum(weight * weight for weight in weights.values()))
    return {word: weight / length for word, weight in weights.items()}
