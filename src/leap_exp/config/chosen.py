"""An endpoint by its name, for the small command lines that ask a model."""

from collections.abc import Sequence

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from leap_exp.config.endpoints import EndpointConfig
from leap_exp.config.groups import conf_dir, members
from leap_exp.config.refusal import explain
from leap_exp.core.errors import ConfigError


def chosen_endpoint(name: str, changes: Sequence[str]) -> EndpointConfig:
    """The settings of ``conf/endpoint/NAME.yaml`` with ``changes``, each of the form SETTING=VALUE.

    Raises:
        ConfigError: there is no such endpoint or setting, or a value cannot be used.
    """
    if name not in members("endpoint"):
        raise ConfigError(f"There is no endpoint {name}; choose one of: {', '.join(members('endpoint'))}.")
    for change in changes:
        if "=" not in change:
            raise ConfigError(f"{change!r} is not of the form SETTING=VALUE, such as model=NAME.")
    try:
        settings = OmegaConf.merge(
            OmegaConf.structured(EndpointConfig),
            OmegaConf.load(conf_dir() / "endpoint" / f"{name}.yaml"),
            OmegaConf.from_dotlist(list(changes)),
        )
        endpoint = OmegaConf.to_object(settings)
    except OmegaConfBaseException as error:
        raise ConfigError(f"Endpoint {name}: {explain(error)}") from error
    assert isinstance(endpoint, EndpointConfig)  # noqa: S101 - the settings build on its schema
    return endpoint
