"""Models of other families: what the engine computes is what the model's own forward pass gives, or it is refused."""

import copy
import logging

import pytest
import torch

from leap_exp.core.errors import ConfigError
from leap_exp.students.engines import in_process
from leap_exp.students.engines.exactness import Method, attention_window, find_method
from leap_exp.students.engines.in_process import InProcessEngine
from leap_exp.tokens.engine import Prompt
from leap_exp.tokens.scoring import collate, score_batch
from leap_exp.tokens.spans import Role, Row, Span, choice_row
from leap_exp.tokens.tree import TokenTree
from tests.support.families import VOCABULARY, WINDOW, all_families, thin_model

CONTEXT = 128
STOP = 2
EVERYTHING = Method(packed=True, plain_head=True, one_pass=True)
OWN_CACHE = Method(packed=False, plain_head=True, one_pass=False)

FAST = ["llama", "qwen2", "qwen3", "qwen3_moe", "phi3", "olmo2", "smollm3", "granite", "glm4"]
FALLS_BACK = [
    "cohere2",
    "exaone4",
    "falcon_h1",
    "gemma2",
    "gemma3_text",
    "gpt_oss",
    "llama4_text",
    "ministral",
    "mistral",
    "olmo3",
    "qwen3_5_text",
    "qwen3_next",
]
SLIDING = {"cohere2", "exaone4", "gemma2", "gemma3_text", "gpt_oss", "ministral", "mistral", "olmo3"}
"""Those of them whose layers have nothing but a sliding window, and so train in one pass."""
CHANGES = {"phi3": {"sliding_window": None}, "granite": {"logits_scaling": 4.0}}


class Numbers:
    """Stands for a tokenizer: a text is the token ids."""

    def decode(self, ids):
        return " ".join(map(str, ids))


@pytest.fixture
def load(monkeypatch):
    """Return a function that returns an engine of a model."""

    def engine(model, *, context_length=CONTEXT, pooled=None):
        monkeypatch.setattr(in_process, "load_model", lambda *_, **__: copy.deepcopy(model))
        monkeypatch.setattr(in_process, "_FACTS", {})
        return InProcessEngine(
            "a model",
            Numbers(),
            dtype=torch.float32,
            device="cpu",
            pad_id=0,
            context_length=context_length,
            pooled=pooled,
        )

    return engine


def tokens(count, *, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, VOCABULARY, (count,), generator=generator).tolist()


def own_logits(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()


def check_writing(model, engine):
    """Two conversations of three turns, longer than the window, against the model's own ``generate``."""
    conversations = {"a": [], "b": []}
    for turn, lengths in enumerate([(19, 30), (9, 1), (5, 14)]):
        for (name, ids), length in zip(conversations.items(), lengths, strict=True):
            ids += tokens(length, seed=10 * turn + len(name))
        prompts = [Prompt(ids=list(ids), conversation=name) for name, ids in conversations.items()]
        written = [each.text for each in engine.generate(prompts, stop_ids=frozenset({STOP}), max_new_tokens=6)]
        for ids, text in zip(conversations.values(), written, strict=True):
            with torch.no_grad():
                answer = model.generate(
                    torch.tensor([ids]),
                    attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                    do_sample=False,
                    num_beams=1,
                    max_new_tokens=6,
                    eos_token_id=STOP,
                    pad_token_id=0,
                )
            expected = [token for token in answer[0, len(ids) :].tolist() if token != STOP]
            assert text == Numbers().decode(expected)
            ids += expected


def check_choosing(model, engine):
    """Choosing among actions, two turns of a conversation, against one forward pass per token."""
    ids = tokens(25, seed=1)
    for turn in range(2):
        actions = [(*tokens(4, seed=index), *tokens(1 + index, seed=50 + index + turn), STOP) for index in range(6)]
        tree = TokenTree.of(actions)
        (chosen,) = engine.choose([Prompt(ids=list(ids), conversation="c")], [tree])
        expected = ()
        while expected not in actions:
            options = sorted({action[len(expected)] for action in actions if action[: len(expected)] == expected})
            logits = own_logits(model, [*ids, *expected])[-1]
            expected = (*expected, max(options, key=lambda token: float(logits[token])))
        assert chosen == expected
        ids += [*chosen, *tokens(7, seed=90 + turn)]


def check_scoring(model, engine):
    """Log-probabilities of actions, with and without the caches of conversations."""
    for turn, restricted in enumerate((False, True)):
        prompt = tokens(24 + 6 * turn, seed=2)
        actions = [[*tokens(2, seed=7), *tokens(2 + index, seed=60 + index), STOP] for index in range(4)]
        row = choice_row("", prompt, actions, restricted=restricted)
        expected = []
        for span, action in zip(row.spans, actions, strict=True):
            scored = own_logits(model, [*prompt, *action])[len(prompt) - 1 : -1]
            choices = TokenTree.of(actions).options(action) if restricted else [range(VOCABULARY)] * len(action)
            values = [
                float(logits[token] - logits[list(choice)].logsumexp(-1))
                for logits, token, choice in zip(scored, action, choices, strict=True)
                if len(choice) > 1
            ]
            assert len(values) == len(span.targets)
            expected.append(sum(values))
        for conversations in (None, ["s"]):
            (score,) = engine.score([row], conversations=conversations)
            found = [score.total(index) for index in range(len(actions))]
            assert found == pytest.approx(expected, abs=1e-3, rel=1e-4)


def branching_row():
    """Return a row of 40 tokens with three branches, and the sequence that each of its spans is scored in."""
    trunk = tokens(40, seed=3)
    built, parents, spans, sequences = [], [], [], []
    end = -1
    for start, stop in ((0, 21), (21, 30), (30, 40)):
        for token in trunk[start:stop]:
            parents.append(end)
            end = len(built)
            built.append(token)
        branch = tokens(5, seed=70 + start)
        places = [end]
        for token in branch[:-1]:
            parents.append(places[-1])
            places.append(len(built))
            built.append(token)
        spans.append(
            Span(
                role=Role.CHOSEN,
                step=len(spans),
                places=tuple(places),
                targets=tuple(branch),
                options=((),) * len(branch),
            )
        )
        sequences.append((trunk[:stop], branch))
    return Row(task_id="", tree=TokenTree(tuple(built), tuple(parents)), spans=tuple(spans)), sequences


def branch_logprobs(model, sequences):
    parts = []
    for history, branch in sequences:
        logits = model(input_ids=torch.tensor([[*history, *branch[:-1]]]), use_cache=False).logits[0]
        logprobs = logits[len(history) - 1 :].float().log_softmax(-1)
        parts.append(logprobs.gather(-1, torch.tensor(branch)[:, None])[:, 0])
    return torch.cat(parts)


def check_training(model, engine):
    """The trained row against one forward pass per step, and that of acting."""
    row, sequences = branching_row()
    short = Row(task_id="", tree=TokenTree.of([tokens(9, seed=4)]), spans=())
    one_pass = engine.facts.method.one_pass
    batch = collate([row, short], pad_id=0, dtype=torch.float32, one_pass=one_pass)
    with torch.no_grad():
        expected = branch_logprobs(model, sequences)
        found = [score_batch(model, batch)]
        if one_pass:
            eager = copy.deepcopy(model)
            eager.set_attn_implementation("eager")
            found.append(score_batch(eager, batch))
    (score,) = engine.score([row])
    found.append(torch.tensor([value for span in score.spans for value in span]))
    for values in found:
        assert values.tolist() == pytest.approx(expected.tolist(), abs=1e-3, rel=1e-4)


def check_all(model, engine):
    check_writing(model, engine)
    check_choosing(model, engine)
    check_scoring(model, engine)
    check_training(model, engine)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("family", FAST)
def test_families_of_plain_attention_are_computed_fast_and_as_by_themselves(load, family, pooled):
    model = thin_model(family, **CHANGES.get(family, {}))
    engine = load(model, pooled=pooled)
    assert engine.facts.method.packed
    assert engine.facts.method.one_pass
    check_all(model, engine)


@pytest.mark.parametrize("family", FALLS_BACK)
def test_families_of_other_layers_fall_back_to_their_own_cache(load, family, caplog):
    model = thin_model(family)
    with caplog.at_level(logging.INFO, logger="leap_exp"):
        engine = load(model)
        assert not engine.facts.method.packed
        assert engine.facts.method.one_pass is (family in SLIDING)
        check_all(model, engine)
    assert len([record for record in caplog.records if "one conversation at a time" in record.message]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted({*all_families()} - {*FAST, *FALLS_BACK}))
def test_every_other_family_is_computed_as_by_itself_or_refused(load, family):
    try:
        model = thin_model(family)
    except Exception as error:  # noqa: BLE001 - the sizes of some configurations do not go together
        pytest.skip(f"no thin model: {error}")
    engine = load(model)
    try:
        assert engine.facts
    except ConfigError as error:
        assert model.config.model_type in str(error)
        return
    check_all(model, engine)


def test_a_window_that_holds_the_whole_context_costs_nothing(load):
    model = thin_model("mistral", sliding_window=CONTEXT)
    engine = load(model)
    assert engine.facts.method == EVERYTHING
    check_all(model, engine)


def test_a_window_that_is_longer_than_the_check_is_read_off_the_configuration(load):
    model = thin_model("mistral", sliding_window=300, max_position_embeddings=1024)
    assert attention_window(model.config) == 300
    engine = load(model, context_length=512)
    assert engine.facts.method == OWN_CACHE
    ids = tokens(330, seed=5)
    (generation,) = engine.generate([Prompt(ids=ids, conversation="")], stop_ids=frozenset({STOP}), max_new_tokens=5)
    text = generation.text
    expected = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=5, eos_token_id=STOP, pad_token_id=0)
    assert text == Numbers().decode(expected[0, len(ids) :].tolist())


def test_a_window_that_no_layer_has_is_not_one():
    assert attention_window(thin_model("qwen2", sliding_window=WINDOW).config) is None


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_gradients_of_a_trained_row_are_those_of_one_pass_per_step(family):
    model = thin_model(family)
    method = find_method(model, source=family, context_length=CONTEXT)
    row, sequences = branching_row()
    gradients = []
    for logprobs in (
        branch_logprobs(model, sequences),
        score_batch(model, collate([row], pad_id=0, dtype=torch.float32, one_pass=method.one_pass)),
    ):
        model.zero_grad()
        logprobs.sum().backward()
        gradients.append({name: weight.grad.clone() for name, weight in model.named_parameters()})
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradients[1][name], gradient, atol=1e-4, rtol=1e-3), name


def test_in_half_precision_rounding_is_no_difference_and_a_recurrent_layer_is():
    for family, packed in (("llama", True), ("qwen3_next", False)):
        model = thin_model(family, initializer_range=0.1).to(torch.bfloat16)
        assert find_method(model, source=family, context_length=CONTEXT).packed is packed


def test_the_check_changes_neither_random_numbers_nor_the_model():
    model = thin_model("llama")
    state, attention = torch.random.get_rng_state(), model.config._attn_implementation
    find_method(model, source="llama", context_length=CONTEXT)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert model.config._attn_implementation == attention


def test_a_model_that_sees_later_tokens_is_refused_by_name():
    model = thin_model("bert", is_decoder=False)
    with pytest.raises(ConfigError, match=r"'a bert' of the family bert cannot be a student: .* later tokens"):
        find_method(model, source="a bert", context_length=CONTEXT)


def test_a_context_longer_than_a_model_has_positions_for_is_refused():
    model = thin_model("gpt2")
    with pytest.raises(ConfigError, match=r"student\.context_length=4096 .* set student\.context_length=512 or less"):
        find_method(model, source="gpt2", context_length=4096)


def test_the_check_runs_once_for_a_model(load, monkeypatch):
    calls = []
    monkeypatch.setattr(in_process, "find_method", lambda *_, **__: calls.append(1) or EVERYTHING)
    engine = load(thin_model("llama"))
    for _ in range(2):
        assert engine.model
        engine.sleep()
    assert calls == [1]
