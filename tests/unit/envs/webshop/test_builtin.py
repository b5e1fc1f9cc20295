"""The built-in shop: its JSON suits the reader, the search and the reward of WebShop."""

import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from leap_exp.core.errors import ConfigError
from leap_exp.envs.webshop.builtin.departments import ATTRIBUTES, CATEGORIES, EXCLUSIVE, KINDS, read_table
from leap_exp.envs.webshop.builtin.generator import CatalogueSources, generate

COLOUR_WORDS = ("ash", "dark", "gold", "light", "lime", "mint", "red", "rose", "rust", "sand", "tan", "wine")
"""Colours that the reward finds in longer words: ``wired`` would count as ``red``."""

KIND_OF = {kind.query: kind for kind in KINDS}


@pytest.fixture(scope="module", params=[0, 7])
def shop(request: pytest.FixtureRequest) -> CatalogueSources:
    return generate(request.param)


def prices(product: dict) -> list[float]:
    """Return the prices as WebShop's loader reads them."""
    return [float(re.sub(r"[^\d.]", "", part)) for part in product["pricing"].split("$")[1:]]


def options(product: dict) -> dict[str, list[str]]:
    return {
        name.lower(): [value["value"].strip().lower() for value in values]
        for name, values in (product["customization_options"] or {}).items()
    }


def page(product: dict) -> str:
    return "\n".join([product["name"], product["full_description"], *product["small_description"]]).lower()


def token_set_similarity(one: str, other: str) -> float:
    """Return the reward's similarity of two phrases, 0 to 100: by common tokens, then by common subsequences."""
    tokens_one, tokens_other = (set(re.findall(r"\w+", text.lower())) for text in (one, other))
    shared = sorted(tokens_one & tokens_other)
    if shared and (tokens_one <= tokens_other or tokens_other <= tokens_one):
        return 100.0
    texts = [" ".join(shared), *(" ".join(shared + sorted(rest - set(shared))) for rest in (tokens_one, tokens_other))]
    return max(
        200 * common_subsequence(first, second) / (len(first) + len(second))
        for first, second in itertools.combinations(texts, 2)
        if first and second
    )


def common_subsequence(one: str, other: str) -> int:
    lengths = [0] * (len(other) + 1)
    for letter in one:
        before = 0
        for place, second in enumerate(other, 1):
            before, lengths[place] = (
                lengths[place],
                before + 1 if letter == second else max(lengths[place], lengths[place - 1]),
            )
    return lengths[-1]


def test_every_product_has_all_fields_that_the_reader_needs(shop):
    assert len(shop.products) == 1000
    assert len({product["asin"] for product in shop.products}) == 1000
    assert len({product["name"] for product in shop.products}) == 1000
    for product in shop.products:
        assert re.fullmatch("B0[0-9A-Z]{8}", product["asin"])
        assert product["category"] in CATEGORIES
        assert product["query"] == product["query"].lower().strip()
        assert len(product["product_category"].split(" \u203a ")) >= 3
        assert product["images"]
        assert product["full_description"]
        assert 3 <= len(product["small_description"]) <= 5
        assert 8 <= len(product["name"].split()) <= 14
        assert "  " not in page(product)


def test_kinds_are_equally_common_and_mixed(shop):
    counts = Counter(product["query"] for product in shop.products)
    assert len(counts) == len(KINDS) == 40
    assert set(counts.values()) == {25}
    assert len({product["query"] for product in shop.products[:100]}) > 30


def test_a_price_is_one_value_or_a_range_and_leaves_room_for_a_limit(shop):
    assert any(len(prices(product)) == 2 for product in shop.products)
    for product in shop.products:
        read = prices(product)
        assert 1 <= len(read) <= 2
        assert read == sorted(set(read))
        least, highest = KIND_OF[product["query"]].price
        assert least <= read[0] <= highest + 1
        assert read[-1] < 970


def test_options_are_few_and_formatted_for_the_reader(shop):
    for product in shop.products:
        assert product["customization_options"] == "" or product["customization_options"]
        known = KIND_OF[product["query"]].options
        for name, values in options(product).items():
            assert 2 <= len(values) <= 5
            assert values == [value for value in known[name] if value in values]
    assert {len(options(product)) for product in shop.products} == {0, 1, 2, 3}


def test_a_page_states_the_products_attributes_and_no_other(shop):
    for product in shop.products:
        attributes = shop.attributes[product["asin"]]["attributes"]
        assert len(set(attributes)) == 5
        assert {words for words in ATTRIBUTES if words in page(product)} == set(attributes)
        assert not any(len(group & set(attributes)) > 1 for group in EXCLUSIVE)
        assert sum(words in product["name"].lower() for words in attributes) == 3


def test_some_attributes_are_only_stated_where_search_does_not_look(shop):
    searched = [
        " ".join([product["name"], product["full_description"], product["small_description"][0]]).lower()
        for product in shop.products
    ]
    hidden = [
        any(words not in text for words in shop.attributes[product["asin"]]["attributes"])
        for product, text in zip(shop.products, searched, strict=True)
    ]
    assert 0.8 < sum(hidden) / len(hidden) < 1


def test_products_of_a_kind_compete(shop):
    for query in KIND_OF:
        rivals = [set(shop.attributes[p["asin"]]["attributes"]) for p in shop.products if p["query"] == query]
        close = [sum(len(own & other) >= 3 for other in rivals) - 1 for own in rivals]
        assert sum(close) / len(close) >= 2


def test_the_plain_instruction_names_the_kind_and_the_attributes(shop):
    assert set(shop.attributes) == {product["asin"] for product in shop.products}
    for product in shop.products:
        row = shop.attributes[product["asin"]]
        assert row["instruction"].startswith("Find me ")
        assert product["query"] in row["instruction"]
        assert 2 <= len(row["instruction_attributes"]) <= 4
        assert set(row["instruction_attributes"]) <= set(row["attributes"])
        assert all(words in row["instruction"] for words in row["instruction_attributes"])


def test_human_instructions_name_their_attributes_and_options(shop):
    for product in shop.products:
        requests = shop.human_instructions[product["asin"]]
        listed = options(product)
        assert 1 <= len(requests) <= 3
        for request in requests:
            text = request["instruction"]
            assert text == text.lower().strip(" .")
            assert KIND_OF[product["query"]].noun in text
            assert 1 <= len(request["instruction_attributes"]) <= 3
            assert set(request["instruction_attributes"]) <= set(request["attributes"])
            assert request["attributes"] == shop.attributes[product["asin"]]["attributes"]
            for words in request["instruction_attributes"]:
                assert all(word in text for word in words.split())
            chosen = dict(option.split(": ") for option in request["options"])
            assert all(value in listed[name] and value in text for name, value in chosen.items())
            assert list(chosen.values()) == request["instruction_options"]
    asked = [
        (request["asin"], frozenset(request["instruction_attributes"]), frozenset(request["instruction_options"]))
        for requests in shop.human_instructions.values()
        for request in requests
    ]
    assert len(set(asked)) == len(asked) > 2900


def test_articles_agree(shop):
    texts = [request["instruction"] for requests in shop.human_instructions.values() for request in requests]
    assert not any(re.search(r"\ba [aeio]|\ban [^aeiou]|  ", text) for text in texts)
    assert len({text.split()[0] for text in texts}) >= 5


def test_at_most_fifty_products_match_the_words_of_a_kind(shop):
    for kind in KINDS:
        words = kind.noun.replace("'s", "").split()
        found = [product for product in shop.products if all(word in page(product) for word in words)]
        assert {p["asin"] for p in shop.products if p["query"] == kind.query} <= {p["asin"] for p in found}
        assert len(found) <= 50


def test_the_reward_gives_products_of_a_kind_the_same_type():
    for kind in KINDS:
        # Names have up to 14 words; if two share less than a tenth, the reward sees another type of product.
        assert len(kind.noun.split()) / 14 > 0.1


def test_the_reward_distinguishes_the_attributes_of_a_kind():
    for kind in KINDS:
        for one, other in itertools.combinations(kind.attributes, 2):
            assert token_set_similarity(one.words, other.words) <= 85, (kind.query, one.words, other.words)


def test_the_reward_distinguishes_option_values():
    for kind in KINDS:
        values = [(name, value) for name, listed in kind.options.items() for value in listed]
        for (name, value), (_, other) in itertools.permutations(values, 2):
            assert token_set_similarity(value, other) <= 85, (kind.query, value, other)
            assert token_set_similarity(f"{name} {value}", other) <= 85, (kind.query, name, value, other)


def test_option_values_contain_no_hidden_colour():
    for value in {value for kind in KINDS for values in kind.options.values() for value in values}:
        assert not [colour for colour in COLOUR_WORDS if colour in value and colour != value], value


def test_the_word_lists_are_consistent():
    phrases = read_table("instructions.toml")["options"]
    assert {name for kind in KINDS for name in kind.options} == set(phrases)
    assert {attribute.words for kind in KINDS for attribute in kind.attributes} == set(ATTRIBUTES)
    assert set().union(*EXCLUSIVE) <= set(ATTRIBUTES)
    assert all(attribute.words in attribute.says.lower() for attribute in ATTRIBUTES.values())
    assert {attribute.place for attribute in ATTRIBUTES.values()} == {"before", "with", "for"}
    assert all(word in attribute.asked for attribute in ATTRIBUTES.values() for word in attribute.words.split())
    assert len({kind.noun for kind in KINDS}) == len(KINDS)


def test_the_same_seed_gives_the_same_catalogue_in_any_process():
    code = (
        "import hashlib, json, random\n"
        "from leap_exp.envs.webshop.builtin.generator import generate\n"
        "random.seed(9)\n"
        "shop = generate(3, 120)\n"
        "text = json.dumps([shop.products, shop.attributes, shop.human_instructions])\n"
        "print(hashlib.sha256(text.encode()).hexdigest())\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    shop = generate(3, 120)
    text = json.dumps([shop.products, shop.attributes, shop.human_instructions])
    assert printed.stdout.strip() == hashlib.sha256(text.encode()).hexdigest()


def test_another_seed_gives_other_products():
    one, other = ({product["name"] for product in generate(seed, 400).products} for seed in (0, 1))
    assert len(one & other) < 20


@pytest.mark.parametrize("count", [1, 39, 100, 2500])
def test_any_number_of_products(count):
    shop = generate(0, count)
    assert len(shop.products) == len(shop.attributes) == len(shop.human_instructions) == count
    counts = Counter(product["query"] for product in shop.products)
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("count", [0, -3, 50_001])
def test_a_number_of_products_out_of_range_is_an_error(count):
    with pytest.raises(ConfigError, match=f"{count} products.*1 to 50000"):
        generate(0, count)


def test_the_files_have_the_authors_names_and_format(tmp_path):
    shop = generate(2, 60)
    shop.write(tmp_path)
    read = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in tmp_path.iterdir()}
    assert read == {
        "items_shuffle_1000.json": shop.products,
        "items_ins_v2_1000.json": shop.attributes,
        "items_human_ins.json": shop.human_instructions,
    }
