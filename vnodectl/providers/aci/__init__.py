"""Azure Container Instances as a Kubernetes node."""

from vnodectl.providers.aci.provider import AciProvider, create_provider, shared_limits
from vnodectl.providers.aci.settings import AciSettings, ReadBudget

__all__ = ["AciProvider", "AciSettings", "ReadBudget", "create_provider", "shared_limits"]
