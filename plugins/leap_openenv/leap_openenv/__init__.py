"""The environments of leap_exp for OpenEnv: a server of many sessions, and its client."""

from leap_openenv.client import LeapEnv
from leap_openenv.models import LeapAction, LeapObservation, LeapState

__all__ = ["LeapAction", "LeapEnv", "LeapObservation", "LeapState"]
