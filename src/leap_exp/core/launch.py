"""Settings of what runs on several devices of this machine."""

from dataclasses import dataclass
from typing import ClassVar

from leap_exp.core.errors import ConfigError
from leap_exp.core.settings import Settings, setting

AUTO = "auto"


@dataclass
class LaunchConfig(Settings):
    """How many processes train together. It changes nothing but the time and the rounding of the result."""

    place: ClassVar[str] = "launch"

    devices: str = setting(
        "1", "Devices to train on, with a process each: a number, or auto (all visible accelerators, 1 without any)."
    )
    sharding: str = setting(
        AUTO,
        "Whether the frozen weights are spread over the devices: none, full (FSDP2), or auto (full if training would "
        "not fit on one).",
        choices=(AUTO, "none", "full"),
    )

    def check_together(self) -> None:
        """Check that devices is a number or auto."""
        if self.devices != AUTO and not (self.devices.isdecimal() and int(self.devices) > 0):
            raise ConfigError(f"launch.devices={self.devices} is not valid: give auto, or a number from 1 on.")
