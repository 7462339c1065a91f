"""Alibaba Cloud's Elastic Container Instance as a Kubernetes node."""

from vnodectl.providers.eci.limits import ApiLimits
from vnodectl.providers.eci.profile import LiveProfile, Profile
from vnodectl.providers.eci.provider import EciProvider, create_provider
from vnodectl.providers.eci.settings import EciSettings, Pacing

__all__ = ["ApiLimits", "EciProvider", "EciSettings", "LiveProfile", "Pacing", "Profile", "create_provider"]
