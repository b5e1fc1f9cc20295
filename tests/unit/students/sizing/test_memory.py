"""The memory of a student: computed from its shape, within 15 % of what its tensors take."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from leap_exp.cli.bench_memory import NARROW, WIDE, acting_ratio, cases, training_ratio
from leap_exp.core.errors import ConfigError
from leap_exp.students.sizing.allocations import Allocations
from leap_exp.students.sizing.memory import FULL, HALF, Sizing, acting_bytes, training_bytes, weights_bytes
from leap_exp.students.sizing.shapes import SHAPES, model_shape, shape_of_config
from leap_exp.students.weights import TINY, load_model

GIB = 1 << 30


@pytest.mark.parametrize(("case", "sizing"), list(cases(NARROW)))
def test_the_computed_peak_of_training_is_within_15_per_cent_of_the_measured_one(case, sizing):
    assert training_ratio(sizing) == pytest.approx(1.0, abs=0.15)


def test_the_same_holds_for_another_shape_and_several_rows():
    sizing = Sizing(shape=WIDE, number_bytes=FULL, rank=8, adapted_layers=WIDE.layers, dropout=True)
    assert training_ratio(sizing, rows=3) == pytest.approx(1.0, abs=0.15)
    assert training_ratio(Sizing(shape=WIDE, number_bytes=FULL, rank=64, adapted_layers=1)) == pytest.approx(
        1.0, abs=0.15
    )


@pytest.mark.parametrize("shape", [NARROW, WIDE])
def test_the_computed_memory_of_acting_is_within_15_per_cent_of_the_measured_one(shape):
    assert acting_ratio(Sizing(shape=shape, number_bytes=FULL)) == pytest.approx(1.0, abs=0.15)


@pytest.mark.slow
def test_it_holds_for_a_model_of_135_million_parameters():
    shape = SHAPES["smollm2_135m"]
    sizing = Sizing(shape=shape, number_bytes=FULL, rank=32, adapted_layers=shape.layers, eager=True)
    assert training_ratio(sizing) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("name", SHAPES)
def test_the_table_has_the_number_of_parameters_of_each_model(name):
    shape = SHAPES[name]
    kind, config = (Qwen3ForCausalLM, Qwen3Config) if shape.normed_heads else (LlamaForCausalLM, LlamaConfig)
    with torch.device("meta"):
        model = kind(
            config(
                vocab_size=shape.vocabulary,
                hidden_size=shape.hidden,
                intermediate_size=shape.inner,
                num_hidden_layers=shape.layers,
                num_attention_heads=shape.heads,
                num_key_value_heads=shape.kv_heads,
                head_dim=shape.head,
                tie_word_embeddings=shape.tied,
            )
        )
    assert shape.parameters == sum(weight.numel() for weight in model.parameters())


def test_the_parameters_of_the_table_are_those_that_the_models_are_named_after():
    sizes = {name: round(shape.parameters / 1e9, 2) for name, shape in SHAPES.items()}
    assert sizes == {
        "tiny": 0.0,
        "smollm2_135m": 0.13,
        "Qwen/Qwen3-0.6B": 0.6,
        "Qwen/Qwen3-4B": 4.02,
        "meta-llama/Meta-Llama-3-8B-Instruct": 8.03,
        "meta-llama/Llama-3.1-70B-Instruct": 70.55,
    }


def test_the_shape_of_a_folder_is_read_from_its_configuration(tmp_path):
    load_model(TINY, dtype=torch.float32, device="cpu").save_pretrained(tmp_path)
    assert model_shape(str(tmp_path)) == SHAPES["tiny"]


def test_an_unknown_model_is_refused_without_a_download():
    with pytest.raises(ConfigError, match=r"student\.model=nobody/nothing is not known.*hf download"):
        model_shape("nobody/nothing")
    with pytest.raises(ConfigError, match="not that of a plain decoder"):
        shape_of_config({"model_type": "mixtral", "num_local_experts": 8}, model="m")


def test_llama_31_70b_fits_a_card_of_80_gb_in_four_bits_only():
    shape = model_shape("meta-llama/Llama-3.1-70B-Instruct")

    def needed(quantization):
        sizing = Sizing(
            shape=shape,
            number_bytes=HALF,
            quantization=quantization,
            rank=128,
            adapted_layers=shape.layers,
            dropout=True,
            checkpointed=True,
            on_accelerator=True,
        )
        training = sum(training_bytes(sizing, rows=1, length=4096, scored=1024).values())
        return training, sum(acting_bytes(sizing, conversations=8, length=4096).values())

    assert needed("nf4") == pytest.approx((73.7 * GIB, 46.8 * GIB), rel=0.01)
    assert min(needed("int8")[0], needed(None)[0]) > 80e9
    assert weights_bytes(Sizing(shape=shape, number_bytes=HALF), training=False) == pytest.approx(141.1e9, rel=0.01)


def test_allocations_count_what_is_alive_and_the_peak():
    with Allocations() as allocations:
        first = torch.zeros(1000)
        view = first[10:]
        second = first + 1
        del first, second
        assert allocations.current == 4000  # the view keeps the first alive
        del view
    assert (allocations.current, allocations.peak) == (0, 8000)
