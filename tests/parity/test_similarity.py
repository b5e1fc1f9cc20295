"""The similarity of outputs, compared with scikit-learn's vectorizer, which the original uses."""

import random

import pytest

from leap_exp.envs.intercode_bash.engine.reward import similarity

text = pytest.importorskip("sklearn.feature_extraction.text")

WORDS = [
    "a",
    "of",
    "File",
    "file",
    "x1",
    "12",
    "3",
    "/desk/note.txt",
    "-rw-r--r--",
    "täglich",
    "_",
    "don't",
    "\n",
    "  ",
]


def reference(first, second):
    """Return the similarity as the original's bash_env.py computes it."""
    try:
        vectors = text.TfidfVectorizer().fit_transform([first, second])
    except ValueError:
        return float(first == second)
    return (vectors * vectors.T).toarray()[0][1]


def test_similarity_equals_that_of_scikit_learn():
    rng = random.Random(0)
    for _ in range(400):
        first, second = (" ".join(rng.choices(WORDS, k=rng.randrange(8))) for _ in range(2))
        assert similarity(first, second) == pytest.approx(reference(first, second), abs=1e-12), (first, second)
