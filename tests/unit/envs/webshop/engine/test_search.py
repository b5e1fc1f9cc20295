import math
from collections import Counter
from random import Random

import numpy as np
import pytest

from leap_exp.envs.webshop.engine.analysis import terms
from leap_exp.envs.webshop.engine.index_writer import IndexWriter, decode_length, encode_length
from leap_exp.envs.webshop.engine.search import SearchIndex

WORDS = [f"w{number}" for number in range(60)]


def _index(folder, documents, tie_order=None):
    writer = IndexWriter(folder)
    for document in documents:
        writer.add(document)
    writer.finish(lambda done, total: None)
    return SearchIndex(folder, np.array(tie_order or range(len(documents)), dtype=np.int32))


def _documents(rng, count):
    """Documents whose word frequencies are as uneven as in real text."""
    weights = [1 / (rank + 1) for rank in range(len(WORDS))]
    return [" ".join(rng.choices(WORDS, weights, k=rng.randrange(1, 90))) for _ in range(count)]


def _ranked(documents, query, limit):
    """A plain implementation of Lucene's BM25."""
    counts = [Counter(terms(document)) for document in documents]
    average = np.float32(sum(count.total() for count in counts) / len(counts))
    scores = {}
    for term, repeated in Counter(terms(query)).items():
        having = [number for number, count in enumerate(counts) if count[term]]
        idf = np.float32(math.log(1 + (len(documents) - len(having) + 0.5) / (len(having) + 0.5)))
        weight = np.float32(repeated) * idf
        for number in having:
            length = np.float32(decode_length(encode_length(counts[number].total())))
            norm = np.float32(1) / (
                np.float32(0.9) * ((np.float32(1) - np.float32(0.4)) + np.float32(0.4) * length / average)
            )
            share = weight - weight / (np.float32(1) + np.float32(counts[number][term]) * norm)
            scores[number] = scores.get(number, 0.0) + float(share)
    return sorted(scores, key=lambda number: (-np.float32(scores[number]), number))[:limit]


@pytest.mark.parametrize("seed", range(4))
def test_ranks_equal_those_of_the_plain_formula(tmp_path, seed):
    rng = Random(seed)
    documents = _documents(rng, 400)
    index = _index(tmp_path, documents)
    for length in (1, 2, 5, 20) * 5:
        query = " ".join(rng.choices(WORDS, k=length))
        assert index.search(query, 10).tolist() == _ranked(documents, query, 10)


def test_the_block_size_does_not_change_the_index(tmp_path, monkeypatch):
    documents = _documents(Random(9), 300)
    monkeypatch.setattr("leap_exp.envs.webshop.engine.index_writer._BLOCK_POSTINGS", 257)
    monkeypatch.setattr("leap_exp.envs.webshop.engine.index_writer._FLUSH_POSTINGS", 100)
    assert _index(tmp_path, documents).search("w0 w7 w30", 50).tolist() == _ranked(documents, "w0 w7 w30", 50)


def test_equal_scores_are_ordered_by_id(tmp_path):
    index = _index(tmp_path, ["red mug", "red cup", "red pan", "blue pot"], tie_order=[2, 0, 1, 3])
    assert index.search("red", 10).tolist() == [1, 2, 0]
    assert index.search("red", 2).tolist() == [1, 2]


@pytest.mark.parametrize("query", ["", "the", "nosuchword", "zzzz qqqq"])
def test_a_query_without_a_known_word_finds_nothing(tmp_path, query):
    assert len(_index(tmp_path, ["red mug", "the"]).search(query, 10)) == 0


def test_releasing_pages_does_not_change_results(tmp_path, monkeypatch):
    monkeypatch.setattr("leap_exp.envs.webshop.engine.search._MAPPED_BYTES", 64)
    documents = _documents(Random(3), 200)
    index = _index(tmp_path, documents)
    for word in WORDS[:20]:
        assert index.search(word, 20).tolist() == _ranked(documents, word, 20)


def test_lengths_are_rounded_like_in_lucene():
    assert [decode_length(encode_length(length)) for length in (0, 1, 23, 39, 40, 41, 57, 215, 258, 337)] == [
        *(0, 1, 23, 39, 40, 40, 56, 200, 248, 312)
    ]
    codes = [encode_length(length) for length in range(200_000)]
    assert codes == sorted(codes)
    assert max(codes) < 256
