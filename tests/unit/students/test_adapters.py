"""What a student is built from: adapters and folders that do not fit are found at once, each with one clear error."""

import json

import pytest
import torch
from peft import IA3Config, LoraConfig, get_peft_model

from leap_exp.core.errors import ConfigError, ProviderError
from leap_exp.core.types import views
from leap_exp.students.config import AdapterConfig
from leap_exp.students.weights import load_model, load_tokenizer
from tests.support.families import thin_model
from tests.support.records import trajectory
from tests.unit.students.test_hf import adapter, student


@pytest.fixture
def folder(tmp_path):
    """Return a folder with the tiny model and its tokenizer."""
    where = tmp_path / "model"
    load_model("tiny", dtype=torch.float32, device="cpu").save_pretrained(where)
    load_tokenizer("tiny").save_pretrained(where)
    return where


def saved_as_student(model, where):
    model.save_pretrained(where)
    load_tokenizer("tiny").save_pretrained(where)
    return str(where)


def test_an_adapter_that_fits_is_taken(tmp_path):
    trained = student(adapter=str(adapter(tmp_path / "adapter", seed=1)))
    assert trained.act(views(trajectory("look")), seed=0)


def test_an_adapter_of_a_model_of_other_sizes_is_refused_when_the_student_is_built(tmp_path):
    other = saved_as_student(thin_model("llama", vocab_size=258), tmp_path / "other")
    foreign = student(model=other).trainable_model()
    foreign.save_pretrained(str(tmp_path / "adapter"))
    for build in (
        lambda: student(adapter=str(tmp_path / "adapter")),
        lambda: student().load(tmp_path / "adapter", policy_id="x"),
    ):
        with pytest.raises(
            ConfigError, match=r"does not fit student\.model=tiny: it expects 32 inputs of model\.layers\.0"
        ):
            build()


def test_an_adapter_of_another_family_is_refused_when_the_student_is_built(tmp_path):
    other = saved_as_student(thin_model("gpt2", vocab_size=258, n_positions=2048), tmp_path / "other")
    student(model=other).trainable_model().save_pretrained(str(tmp_path / "adapter"))
    with pytest.raises(ConfigError, match=r"it changes transformer\.h\.0\.\S+, which the model does not have"):
        student(adapter=str(tmp_path / "adapter"))


def test_an_adapter_of_another_kind_is_refused_when_the_student_is_built(tmp_path):
    base = load_model("tiny", dtype=torch.float32, device="cpu")
    config = IA3Config(target_modules=["k_proj"], feedforward_modules=[], task_type="CAUSAL_LM")
    get_peft_model(base, config).save_pretrained(str(tmp_path))
    with pytest.raises(ConfigError, match="an adapter of the kind IA3, but only LORA"):
        student(adapter=str(tmp_path))


@pytest.mark.parametrize("damage", ["no weights", "cut off", "no configuration", "not JSON"])
def test_a_damaged_adapter_is_refused_when_the_student_is_built(tmp_path, damage):
    where = adapter(tmp_path / "adapter", seed=1)
    weights, config = where / "adapter_model.safetensors", where / "adapter_config.json"
    if damage == "no weights":
        weights.unlink()
    elif damage == "cut off":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "no configuration":
        config.write_text("{}")
    else:
        config.write_text("<html>")
    with pytest.raises(ConfigError, match="not a folder with a LoRA adapter that can be read"):
        student(adapter=str(where))


def test_a_folder_with_a_configuration_and_no_weights_is_refused_when_the_student_is_built(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(ProviderError, match=r"Could not load the model .* student\.model="):
        student(model=str(folder))


def test_a_folder_with_damaged_weights_is_refused_when_the_student_is_built(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ProviderError, match="Could not load the model"):
        student(model=str(folder))


def test_a_folder_with_the_weights_of_another_model_is_refused_instead_of_filled_with_random_ones(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 4}))
    with pytest.raises(ProviderError, match=r"lacks 18 of its weights, such as model\.layers\.2"):
        student(model=str(folder))


def test_a_folder_of_an_unknown_family_is_refused_when_the_student_is_built(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "marvellous"}))
    with pytest.raises(ProviderError, match="Could not load the model"):
        student(model=str(folder))


def test_an_adapter_on_more_layers_than_there_are_is_refused():
    with pytest.raises(ConfigError, match=r"student\.lora\.top_layers=3 exceeds the 2 layers"):
        student(lora=AdapterConfig(r=4, top_layers=3))


def test_an_adapter_on_the_top_layer_changes_no_other():
    model = student(lora=AdapterConfig(r=4, top_layers=1)).trainable_model()
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained
    assert all(".layers.1." in name for name in trained)


@pytest.mark.parametrize("family", ["mistral", "qwen3_next", "gpt2"])
def test_a_student_of_another_family_acts_after_training_as_it_was_trained(tmp_path, family):
    sizes = {"n_positions": 2048} if family == "gpt2" else {}
    agent = student(model=saved_as_student(thin_model(family, vocab_size=258, **sizes), tmp_path / "model"))
    model = agent.trainable_model()
    generator = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data = 0.1 * torch.randn(weight.shape, generator=generator)
    model.save_pretrained(str(tmp_path / "adapter"))
    trained = agent.load(tmp_path / "adapter", policy_id="trained")
    ids = trained.codec.prompt_ids(views(trajectory("look"))[0])
    trained._local.load_adapter(trained._adapters)
    with torch.no_grad():
        separate = model.eval()(input_ids=torch.tensor([ids])).logits
        merged = trained._local.model(input_ids=torch.tensor([ids])).logits
    assert torch.allclose(merged, separate, atol=1e-2)


@pytest.mark.parametrize("layers", [0, -1])
def test_an_adapter_on_no_layer_is_refused(layers):
    with pytest.raises(ConfigError, match=rf"student\.lora\.top_layers={layers} is not valid: it must be at least 1"):
        AdapterConfig(top_layers=layers)


def test_an_adapter_with_a_module_that_was_trained_as_a_whole_is_taken(tmp_path):
    config = LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["lm_head"], task_type="CAUSAL_LM")
    model = get_peft_model(load_model("tiny", dtype=torch.float32, device="cpu"), config)
    model.save_pretrained(str(tmp_path))
    assert student(adapter=str(tmp_path)).act(views(trajectory("look")), seed=0)
