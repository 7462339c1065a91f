"""Alibaba Cloud's Elastic Container Instance as a Kubernetes node."""

from vnodectl.providers.eci.limits import ApiLimits
from vnodectl.providers.eci.profile import Profile
from vnodectl.providers.eci.provider import EciProvider, create_provider
from vnodectl.providers.eci.settings import EciSettings, Pacing

__all__ = ["ApiLimits", "EciProvider", "EciSettings", "Pacing", "Profile", "create_provider"]
