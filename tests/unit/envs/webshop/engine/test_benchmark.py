import pytest

from leap_exp.envs.webshop.commands import bench
from leap_exp.envs.webshop.engine.authors_files import read_products
from leap_exp.envs.webshop.engine.benchmark import multiply
from tests.support.webshop_files import FOLDER, RECORDS, needs_files, write_files


def test_multiplied_products_have_new_ids_and_words(tmp_path):
    files = write_files(tmp_path / "files")
    (tmp_path / "made").mkdir()
    products = list(read_products(multiply(files, tmp_path / "made", 40)))
    assert len(products) == len({product.asin for product in products}) == 40
    assert [product.asin for product in products[:4]] == [record["asin"] for record in RECORDS]
    assert products[4].synthetic_instruction == products[0].synthetic_instruction
    assert len({product.name for product in products[::4]}) > 1


def test_bench_measures_a_catalogue(tmp_path):
    write_files(tmp_path / "files")
    figures = bench(tmp_path / "files", products=60, seconds=0.2)
    assert figures["products"] == 60
    names = ("build_peak_mib", "open_milliseconds", "resident_mib", "steps_per_second")
    assert min(figures[name] for name in names) > 0


@pytest.mark.slow
@needs_files
def test_bench_meets_its_targets():
    figures = bench(FOLDER)
    assert figures["steps_per_second_ratio"] >= 100
    assert figures["open_milliseconds"] < 1000
