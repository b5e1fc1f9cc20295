import json

import pytest

from leap_exp.core.errors import DataError
from leap_exp.envs.webshop.engine.authors_files import build_catalogue, find_files, read_products
from leap_exp.envs.webshop.engine.catalogue import Catalogue
from leap_exp.envs.webshop.engine.nouns import WordTagger
from leap_exp.envs.webshop.engine.products import Product
from tests.support.webshop_files import RECORDS, record, small_catalogue, write_files


def test_products_are_read_like_in_the_original(tmp_path):
    catalogue = small_catalogue(tmp_path)
    mug, glass, shoes, _ = (catalogue.product(row) for row in range(len(catalogue)))
    assert mug.options == {"color": ("navy blue", "red | white")}
    assert (mug.price_tag, mug.prices) == ("$12.5", (12.5,))
    assert (glass.price_tag, glass.prices) == ("$5.0 to $9.5", (5.0, 9.5))
    assert (shoes.price_tag, shoes.prices) == ("$100.0", (100.0,))
    assert list(shoes.options) == ["size", "color"]
    assert mug.query == "mugs"
    assert mug.nouns == ("blue", "stoneware", "mug", "oz")
    assert [each.text for each in mug.human_instructions] == ["i want a blue mug"]
    assert glass.attributes == ()
    assert glass.synthetic_instruction is None


def test_records_that_the_original_skips_are_skipped(tmp_path):
    extra = [record("nan", "x"), record("B0000000001", "x"), record("B000000001", "again"), record("B000000009", "new")]
    catalogue = small_catalogue(tmp_path, records=[*RECORDS, *extra])
    assert [catalogue.product(row).asin[-1] for row in range(len(catalogue))] == ["1", "2", "3", "4", "9"]
    assert catalogue.product(4).attributes == ("DUMMY_ATTR",)


def test_a_stored_product_is_read_back_unchanged(tmp_path):
    for product in read_products(write_files(tmp_path)):
        assert Product.from_bytes(product.to_bytes()) == product
    odd = next(iter(read_products(write_files(tmp_path, records=[record("B000000005", "lone \ud83d")]))))
    assert Product.from_bytes(odd.to_bytes()) == odd


def test_rows_are_found_by_id_and_by_label(tmp_path):
    catalogue = small_catalogue(tmp_path)
    assert [catalogue.row(f"B00000000{number}") for number in range(6)] == [None, 0, 1, 2, 3, None]
    assert catalogue.rows_labelled("query", "mugs") == [0, 1, 3]
    assert list(catalogue.rows_labelled("category", "books")) == []
    assert catalogue.search("travel mugs")[0] == 3


@pytest.mark.parametrize(
    ("spoiled", "named"),
    [
        ({"name": None}, "name"),
        ({"full_description": None}, "full_description"),
        ({"small_description": [None]}, "expected a text"),
        ({"pricing": "$1.2.3"}, "price"),
        ({"pricing": "12"}, "dollar"),
        ({"customization_options": {"size": [{}]}}, "value"),
        ({"asin": 5}, "asin"),
    ],
)
def test_a_product_without_a_needed_field_stops_the_build_and_keeps_the_old_catalogue(tmp_path, spoiled, named):
    small_catalogue(tmp_path)
    files = write_files(tmp_path / "broken", records=[*RECORDS, {**record("B000000005", "Pan"), **spoiled}])
    with pytest.raises(DataError, match=named) as raised:
        build_catalogue(tmp_path / "catalogue", files, tagger=WordTagger())
    assert "Product 5" in str(raised.value)
    assert len(Catalogue(tmp_path / "catalogue")) == len(RECORDS)
    assert not (tmp_path / "catalogue.part").exists()


def test_a_record_without_a_name_is_an_error(tmp_path):
    nameless = record("B000000005", "Pan")
    del nameless["name"]
    with pytest.raises(DataError, match=r"Product 1 .*'name'"):
        list(read_products(write_files(tmp_path, records=[nameless])))


def test_a_truncated_file_leaves_no_partial_catalogue(tmp_path):
    files = write_files(tmp_path / "files")
    files.products.write_bytes(files.products.read_bytes()[:-20])
    with pytest.raises(DataError, match="download it again"):
        build_catalogue(tmp_path / "catalogue", files, tagger=WordTagger())
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


def test_an_empty_list_of_products_is_an_error(tmp_path):
    with pytest.raises(DataError, match="at least one product"):
        small_catalogue(tmp_path, records=[])


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"items_shuffle\.json"):
        find_files(tmp_path)
    write_files(tmp_path)
    (tmp_path / "items_human_ins.json").unlink()
    with pytest.raises(DataError, match="items_human_ins"):
        find_files(tmp_path)


def test_another_version_an_incomplete_and_a_missing_catalogue_are_errors(tmp_path):
    folder = small_catalogue(tmp_path).folder
    about = json.loads((folder / "catalogue.json").read_text())
    (folder / "catalogue.json").write_text(json.dumps({**about, "version": 99}))
    with pytest.raises(DataError, match="version 99"):
        Catalogue(folder)
    (folder / "catalogue.json").write_text(json.dumps(about))
    (folder / "terms.bin").unlink()
    with pytest.raises(DataError, match="incomplete"):
        Catalogue(folder)
    with pytest.raises(DataError, match="install webshop"):
        Catalogue(tmp_path / "none")
