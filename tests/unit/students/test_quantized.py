"""Quantised base weights, where bitsandbytes is installed; the settings everywhere."""

from importlib.util import find_spec

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from leap_exp.core.errors import ConfigError
from leap_exp.students import quantized
from leap_exp.students.config import AdapterConfig, HfStudentConfig, VllmStudentConfig
from leap_exp.students.hf import HfStudent
from leap_exp.students.weights import TINY, load_tokenizer
from leap_exp.trainers.config import SftConfig
from tests.support.records import ACTIONS, correction
from tests.support.toy import ToyEnvironment

installed = pytest.mark.skipif(find_spec(quantized.LIBRARY) is None, reason="needs bitsandbytes, an optional extra")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model whose linear modules are large enough for blocks of 64 numbers."""
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=258,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    load_tokenizer(TINY).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def config_of(folder, quantization):
    return HfStudentConfig(
        model=str(folder),
        format="plain",
        decoding="admissible",
        reasons=False,
        device="cpu",
        dtype="float32",
        max_new_tokens=24,
        quantization=quantization,
        lora=AdapterConfig(r=4, dropout=0.0),
    )


def test_a_missing_library_or_device_is_named(monkeypatch):
    monkeypatch.setattr(quantized, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"student\.quantization=nf4 needs the package bitsandbytes: pip install"):
        quantized.check_quantization("nf4", model="m", device="cpu")
    monkeypatch.setattr(quantized, "find_spec", lambda name: object())
    with pytest.raises(ConfigError, match=r"does not work with student\.device=mps"):
        quantized.check_quantization("int8", model="m", device="mps")
    with pytest.raises(ConfigError, match=r"student\.model=tiny"):
        quantized.check_quantization("int8", model="tiny", device="cpu")
    with pytest.raises(ConfigError, match="not among vLLM's"):
        VllmStudentConfig(model="m", quantization="int8")
    with pytest.raises(ConfigError, match="choose one of: nf4, int8"):
        HfStudentConfig(model="m", quantization="int4")


@installed
@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_a_quantised_student_is_trained_saved_and_acts_with_its_adapter(folder, tmp_path, quantization):
    student = HfStudent(config_of(folder, quantization), ToyEnvironment())
    kinds = {type(module).__name__ for module in student._local.model.modules()}
    assert {"nf4": "Linear4bit", "int8": "Linear8bitLt"}[quantization] in kinds
    lessons = [correction(ACTIONS[3:4], ACTIONS[:1], name=f"{number}") for number in range(4)]
    before = student.logprobs(lessons)
    out = tmp_path / "student"
    out.mkdir()
    trainer = SftConfig(epochs=4, learning_rate=1e-2, gradient_accumulation=1, warmup_steps=0, validation_share=0)
    trainer.build().fit(student, lessons, [], out=out, seed=0, on_progress=lambda *_: None)
    trained = student.load(out, policy_id="trained")
    assert sum(trained.logprobs(lessons)) > sum(before) + 1
    averaged = trained.averaged([student, trained], [0.0, 1.0], policy_id="mean")
    assert averaged.logprobs(lessons) == pytest.approx(trained.logprobs(lessons), abs=1e-4)


@installed
def test_an_adapter_beside_four_bit_weights_gives_what_training_gave(folder, tmp_path):
    """Merged into 4-bit weights, it would be rounded away."""
    student = HfStudent(config_of(folder, "nf4"), ToyEnvironment())
    model = student.trainable_model()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.02)
    model.save_pretrained(str(tmp_path / "adapter"))
    ids = torch.arange(2, 40)[None]
    with torch.inference_mode():
        in_training = model.eval()(input_ids=ids).logits
        acting = student.load(tmp_path / "adapter", policy_id="a")
        acting._local.load_adapter(acting._adapters)
        loaded = quantized.adapted(acting._local.model, ())
        loaded.set_attn_implementation("sdpa")
        logits = loaded(input_ids=ids).logits
    assert (logits - in_training).abs().max() < 1e-3 * in_training.abs().max()
