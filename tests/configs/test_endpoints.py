"""The endpoints: every file composes, restates no default, and holds no secret; bad settings are refused."""

from dataclasses import dataclass, fields

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from leap_exp.config.chosen import chosen_endpoint
from leap_exp.config.endpoints import EndpointConfig
from leap_exp.config.groups import conf_dir
from leap_exp.config.schema import settings
from leap_exp.core.errors import ConfigError

ENDPOINTS = sorted((conf_dir() / "endpoint").glob("*.yaml"))
URL = "http://127.0.0.1:1/v1"


@dataclass
class AskingTeacher:
    endpoint: EndpointConfig = settings(EndpointConfig, "Whom it asks.")


@pytest.fixture(params=ENDPOINTS, ids=lambda path: path.stem)
def endpoint_file(request):
    return request.param


def test_the_usual_ones_are_there():
    assert {"gpt4o", "gpt4o_mini", "claude", "gemini", "vllm", "local"} <= {path.stem for path in ENDPOINTS}


def test_an_endpoint_fits_into_a_teacher(endpoint_file):
    ConfigStore.instance().store(group="asking", name="schema_asking", node=AskingTeacher)
    ConfigStore.instance().store(
        name="asking_one",
        node={"defaults": [{"asking": "schema_asking"}, {"endpoint@asking.endpoint": endpoint_file.stem}]},
    )
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = OmegaConf.to_object(compose("asking_one", overrides=["asking.endpoint.model=mine"]).asking)
    assert isinstance(config.endpoint, EndpointConfig)
    assert config.endpoint.model == "mine"


def test_an_endpoint_holds_deviations_only_and_no_key(endpoint_file):
    tree = yaml.safe_load(endpoint_file.read_text())
    defaults = {item.name: item.default for item in fields(EndpointConfig)}
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
def test_settings_that_cannot_work_are_refused_without_showing_a_secret(bad, named):
    with pytest.raises(ConfigError, match=named) as caught:
        EndpointConfig(**{"base_url": URL, "model": "m", **bad})
    assert "secret" not in str(caught.value)
    assert "sk-" not in str(caught.value)


def test_an_endpoint_is_chosen_by_name_with_changes():
    endpoint = chosen_endpoint("local", ["model=mine", "concurrency=3"])
    assert (endpoint.base_url, endpoint.model, endpoint.concurrency) == ("http://127.0.0.1:8080/v1", "mine", 3)


@pytest.mark.parametrize(
    ("name", "change", "named"),
    [
        ("nowhere", "model=m", "no endpoint nowhere; choose one of: claude"),
        ("local", "model", "'model' is not of the form SETTING=VALUE"),
        ("local", "modell=m", "modell is not valid"),
        ("local", "concurrency=many", "concurrency is not valid"),
        ("local", "concurrency=0", "concurrency=0 is not valid"),
        ("vllm", "concurrency=2", "model has no value: give one"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused_and_named(name, change, named):
    with pytest.raises(ConfigError, match=named):
        chosen_endpoint(name, [change])
