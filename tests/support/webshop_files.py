"""WebShop catalogues for tests: the authors' files if they are available, and small ones in the same format."""

import gzip
import json
from pathlib import Path

import pytest

from leap_exp.envs.webshop.engine.authors_files import build_catalogue, find_files
from leap_exp.envs.webshop.engine.catalogue import Catalogue
from leap_exp.envs.webshop.engine.nouns import WordTagger

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "webshop"
GOLDEN = FOLDER / "golden"
needs_files = pytest.mark.skipif(not GOLDEN.exists(), reason=f"needs the authors' 1,000 products in {FOLDER}")


def record(asin, name, **fields):
    """Return an entry of the authors' product file."""
    return {
        "asin": asin,
        "name": name,
        "pricing": "$12.50",
        "full_description": f"About the {name}.",
        "small_description": ["Made to last ", "Easy to clean"],
        "images": ["https://example.org/1.jpg"],
        "product_category": "Home \u203a Kitchen \u203a Mugs",
        "customization_options": {},
        "category": "garden",
        "query": "Mugs ",
        **fields,
    }


def option(*values):
    return [{"value": value, "image": None} for value in values]


RECORDS = (
    record("B000000001", "Blue Stoneware Mug, 12oz", customization_options={"Color": option("Navy Blue", "red/white")}),
    record("B000000002", "Glass Mug for Tea", pricing="$5 - $9.50", customization_options=""),
    record(
        "B000000003",
        "Women's Running Shoes",
        category="fashion",
        query="shoes",
        product_category="Clothing \u203a Women \u203a Shoes",
        pricing="",
        full_description="",
        customization_options={"Size": option("7", "8"), "Color": option("black", "Buy Now"), "Fit": None},
    ),
    record("B000000004", "Steel Travel Mug", pricing="$970.00"),
)

ATTRIBUTES = {
    "B000000001": {
        "attributes": ["dishwasher safe", "easy clean"],
        "instruction": "Find me dishwasher safe mugs",
        "instruction_attributes": ["dishwasher safe"],
    },
    "B000000002": {"attributes": []},
    "B000000003": {
        "attributes": ["rubber sole"],
        "instruction": "Find me rubber sole shoes",
        "instruction_attributes": ["rubber sole"],
    },
    "B000000004": {
        "attributes": ["easy clean"],
        "instruction": "Find me easy clean mugs",
        "instruction_attributes": ["easy clean"],
    },
}

INSTRUCTIONS = {
    "B000000001": [
        {
            "instruction": "i want a blue mug.",
            "instruction_attributes": ["easy clean"],
            "instruction_options": ["navy blue"],
        },
        {"instruction": "any mug", "instruction_attributes": [], "instruction_options": []},
    ]
}


def write_files(folder, records=RECORDS, attributes=ATTRIBUTES, instructions=INSTRUCTIONS):
    """Write the three files to ``folder``, with gzipped products."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "items_shuffle_1000.json.gz").write_bytes(gzip.compress(json.dumps(list(records)).encode()))
    (folder / "items_ins_v2_1000.json").write_text(json.dumps(attributes))
    (folder / "items_human_ins.json").write_text(json.dumps(instructions))
    return find_files(folder)


def small_catalogue(folder, **files):
    build_catalogue(folder / "catalogue", write_files(folder / "files", **files), tagger=WordTagger())
    return Catalogue(folder / "catalogue")
