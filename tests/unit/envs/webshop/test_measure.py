import json

import pytest

from leap_exp import bench
from leap_exp.envs.webshop.authors_files import read_products
from leap_exp.envs.webshop.multiply import multiply
from tests.webshop_files import FOLDER, RECORDS, needs_files, write_files


def test_multiplied_products_have_ids_and_words_of_their_own(tmp_path):
    files = write_files(tmp_path / "files")
    (tmp_path / "made").mkdir()
    products = list(read_products(multiply(files, tmp_path / "made", 40)))
    assert len(products) == len({product.asin for product in products}) == 40
    assert [product.asin for product in products[:4]] == [record["asin"] for record in RECORDS]
    assert products[4].synthetic_wish == products[0].synthetic_wish
    assert len({product.name for product in products[::4]}) > 1


def test_bench_measures_a_catalogue(tmp_path, capsys):
    write_files(tmp_path / "files")
    assert bench.main(["webshop", "--from", str(tmp_path / "files"), "--products", "60", "--seconds", "0.2"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["products"] == 60
    assert (
        min(figures[name] for name in ("build_peak_mib", "open_milliseconds", "resident_mib", "steps_per_second")) > 0
    )


@pytest.mark.slow
@needs_files
def test_bench_meets_its_targets(capsys):
    assert bench.main(["webshop", "--from", str(FOLDER)]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["steps_per_second_ratio"] >= 100
    assert figures["open_milliseconds"] < 1000
