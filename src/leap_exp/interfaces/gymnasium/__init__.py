"""The environments for Gymnasium: ``gymnasium.make("leap/ALFWorld-v0")`` and so on.

docs/environments_for_everyone.md shows how to use them. Importing this package registers them; for the id
``leap_exp.interfaces.gymnasium:leap/ALFWorld-v0`` Gymnasium imports it. (Gymnasium has had no entry points for
environments since its version 1.0.)
"""

from collections.abc import Mapping

try:
    from gymnasium.envs.registration import register, registry
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] != "gymnasium":
        raise
    message = 'leap_exp.interfaces.gymnasium needs Gymnasium: pip install "leap-exp[gymnasium]".'
    raise ModuleNotFoundError(message, name=missing.name) from missing

ENVIRONMENTS: Mapping[str, tuple[str, int]] = {
    "leap/ALFWorld-v0": ("leap_exp.envs.alfworld.config:AlfworldConfig", 30),
    "leap/InterCodeBash-v0": ("leap_exp.envs.intercode_bash.config:InterCodeBashConfig", 10),
    "leap/WebShop-v0": ("leap_exp.envs.webshop.config:WebShopConfig", 30),
}
"""Ids, each with its settings class and horizon.

The horizon is the default of ``max_steps_eval``, written again so that no settings have to be imported here.
"""

for _id, (_config, _horizon) in ENVIRONMENTS.items():
    if _id not in registry:
        register(
            _id,
            entry_point="leap_exp.interfaces.gymnasium.env:GymnasiumEnv",
            vector_entry_point="leap_exp.interfaces.gymnasium.vector:GymnasiumVectorEnv",
            max_episode_steps=_horizon,
            kwargs={"config": _config},
        )
