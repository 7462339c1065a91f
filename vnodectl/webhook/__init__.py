"""The admission webhook that sends pods to the virtual nodes by labels.

The chart's MutatingWebhookConfiguration says which pods are asked about: those that its labels choose, and on
request all, of which the cluster's own settings choose; `patch` says what is added to them,
`certificates` makes what the API server trusts, `keeper` shares it between replicas, and `server` answers.
"""

from vnodectl.webhook.keeper import Place
from vnodectl.webhook.patch import Rule, Wish
from vnodectl.webhook.server import serving

__all__ = ["Place", "Rule", "Wish", "serving"]
