"""Every endpoint composes, repeats no default and contains no secret; bad settings are rejected."""

from dataclasses import dataclass, fields

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from leap_exp.config.build import build_endpoint
from leap_exp.config.registry import conf_dir
from leap_exp.core.errors import ConfigError
from leap_exp.core.settings import settings
from leap_exp.llm import Endpoint

ENDPOINTS = sorted((conf_dir() / "endpoint").glob("*.yaml"))
URL = "http://127.0.0.1:1/v1"


@dataclass
class AskingTeacher:
    endpoint: Endpoint = settings(Endpoint, "The model.")


@pytest.fixture(params=ENDPOINTS, ids=lambda path: path.stem)
def endpoint_file(request):
    return request.param


def test_the_usual_providers_are_there():
    assert {"gpt4o", "gpt4o_mini", "claude", "gemini", "vllm", "local"} <= {path.stem for path in ENDPOINTS}


def test_an_endpoint_fits_into_a_teacher(endpoint_file):
    ConfigStore.instance().store(group="asking", name="schema_asking", node=AskingTeacher)
    ConfigStore.instance().store(
        name="asking_one",
        node={"defaults": [{"asking": "schema_asking"}, {"endpoint@asking.endpoint": endpoint_file.stem}]},
    )
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = OmegaConf.to_object(compose("asking_one", overrides=["asking.endpoint.model=mine"]).asking)
    assert isinstance(config.endpoint, Endpoint)
    assert config.endpoint.model == "mine"


def test_an_endpoint_only_has_deviations_and_no_key(endpoint_file):
    tree = yaml.safe_load(endpoint_file.read_text())
    defaults = {item.name: item.default for item in fields(Endpoint)}
    assert [name for name, value in tree.items() if value == defaults[name]] == []
    assert endpoint_file.read_text().startswith("# ")
    if tree["base_url"].startswith("https"):
        assert tree["key_variable"].endswith("_API_KEY")
        assert {"price_in", "price_out", "budget_dollars"} <= tree.keys()


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"key_variable": "sk-0123456789"}, "NAME of an environment variable"),
        ({"base_url": "https://me:secret@host/v1"}, "key_variable"),
        ({"base_url": "https://host/v1?key=secret"}, "key_variable"),
        ({"base_url": "host:80"}, "base_url=host:80"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"tries": 0}, "tries=0"),
        ({"timeout_seconds": 0.0}, "timeout_seconds=0"),
        ({"price_in": -1.0}, "price_in=-1"),
        ({"budget_dollars": 5.0}, "price_in"),
        ({"structured_output": "perhaps"}, "structured_output=perhaps"),
        ({"max_tokens_name": "n"}, "max_tokens_name=n"),
    ],
)
def test_bad_settings_are_rejected_without_showing_a_secret(bad, named):
    with pytest.raises(ConfigError, match=named) as caught:
        Endpoint(**{"base_url": URL, "model": "m", **bad})
    assert "secret" not in str(caught.value)
    assert "sk-" not in str(caught.value)


def test_an_endpoint_by_name_with_changes():
    endpoint = build_endpoint("local", ["model=mine", "concurrency=3"])
    assert (endpoint.base_url, endpoint.model, endpoint.concurrency) == ("http://127.0.0.1:8080/v1", "mine", 3)


@pytest.mark.parametrize(
    ("name", "change", "named"),
    [
        ("nowhere", "model=m", "no endpoint nowhere; choose one of: claude"),
        ("local", "model", "'model' is not of the form SETTING=VALUE"),
        ("local", "modell=m", "There is no setting 'modell'"),
        ("local", "concurrency=many", "concurrency=many is not valid"),
        ("local", "concurrency=0", "concurrency=0 is not valid"),
        ("vllm", "concurrency=2", "model has no value: give one"),
    ],
)
def test_a_wrong_name_or_change_is_named(name, change, named):
    with pytest.raises(ConfigError, match=named):
        build_endpoint(name, [change])
