"""The page of the documentation that says what of Azure is emulated, written from the code.

python -m vnodectl.emulator.azure.document > docs/emulator-azure.md
"""

from __future__ import annotations

import sys
import textwrap

from vnodectl.emulator.azure import seed
from vnodectl.emulator.azure.aci.metrics import METRICS
from vnodectl.emulator.azure.config import Limits, Timings
from vnodectl.emulator.azure.hosts import PUBLIC_HOSTS
from vnodectl.emulator.azure.roles import BUILT_IN
from vnodectl.emulator.azure.service import routes_table
from vnodectl.emulator.control import SETTINGS
from vnodectl.emulator.page import code, numbers_table

_INTRODUCTION = """\
# The emulated Azure

<!-- Written by `python -m vnodectl.emulator.azure.document`; a test fails when this page is stale. -->

`vnodectl emulator serve` runs it alone; the sandbox runs it beside its cluster. It prints one line of JSON
with its addresses:

| Field | What is there |
|---|---|
| `armEndpoint` | Azure Resource Manager (TLS) |
| `authorityHost` | Microsoft Entra ID: tokens (the same socket) |
| `graphEndpoint` | Microsoft Graph (TLS) |
| `metricsEndpoint` | Azure Monitor's metrics in batches, of all regions (TLS) |
| `imdsEndpoint` | the metadata endpoint of managed identities (plain HTTP) |
| `proxyUrl` | a CONNECT proxy for programs that know only Microsoft's host names |
| `controlUrl` | the control API (plain HTTP, always on 127.0.0.1) |
| `caFile` | what clients must trust |

Tokens are signed and verified (signature, audience, expiry, tenant); role assignments are evaluated by the
actions of their definitions, those of subnets and identities that a container group refers to included.
Errors have ARM's shape (`error.code`, `error.message`, `error.target`). Reads, writes and deletes have
ARM's budgets with the `x-ms-ratelimit-remaining-subscription-*` headers, container groups those of the
service; both answer 429 with `Retry-After`. What takes time follows the emulated clock; reading never
changes anything. An operation or an `api-version` that is not listed here fails in ARM's shape, and is
logged.

Linux groups are run by an engine (podman, docker, processes, or simulated ones for scale): restarts,
probes, exit codes, memory limits, logs, exec and attach are the containers' own. Windows groups are
simulated.

## Foreign programs

Programs that know only Microsoft's own host names find the emulator through the proxy, unmodified. Tried with
the SDKs for Python (azure-mgmt-containerinstance; a test) and for Go (armcontainerinstance 2.4, by hand):

```sh
vnodectl emulator serve --seed seed.json --ready-file ready.json &
export HTTPS_PROXY=$(jq -r .proxyUrl ready.json)       # a sandbox: $VNODECTL_EMULATOR_PROXY
export SSL_CERT_FILE=$(jq -r .caFile ready.json)       # Go, and others that use OpenSSL's name for it
export REQUESTS_CA_BUNDLE=$SSL_CERT_FILE               # Python
export AZURE_TENANT_ID=… AZURE_CLIENT_ID=… AZURE_CLIENT_SECRET=…    # as in the seed
```

The proxy serves {hosts}, each on port 443, and refuses every other host: no call leaves the machine.

## Steering it

The control API has `/state`, `/seed`, `/reset`, `/clock`, `/latency`, `/faults`, `/calls`, `/counters`,
`/routes` and {settings}. A fault names a route as the tables below do, or a regular expression of paths:
`{{"method": "PUT", "path": "containerGroups/web", "times": 1, "status": 503, "code":
"ServiceUnavailable"}}`, with `rate`, `skip`, `delay`, `drop`, `headers`, and `after` (the call takes
effect, only its answer is lost).

## Where it is simpler than Azure

- A container group profile is applied when a group is made; a standby pool counts its ready groups and
  starts no container before one is taken. A config map is mounted at `/mnt/configmap/<container>`.
- `StandbyPoolExhausted`, `ServiceAssociationLinkInUse` and `InvalidParameter` stand where the service's own
  code is not published.
- gitRepo volumes are empty directories, Azure Files shares directories of the emulator, key vault
  references empty.
- Security rules, routes and gateways are kept and shown; they do not filter what containers send.
- The networks' metrics have no values, since engines do not count them.

## Tests against a real subscription

`tests/contract/test_emulator_azure_contract.py` runs against the emulator. With these variables the same
tests run against Azure itself, each in a resource group of its own which it deletes:
`CONTRACT_AZURE_SUBSCRIPTION`, `CONTRACT_AZURE_TENANT`, `CONTRACT_AZURE_CLIENT_ID`,
`CONTRACT_AZURE_CLIENT_SECRET` (an Owner), and `CONTRACT_AZURE_LOCATION` (default eastus).
"""


def page() -> str:
    settings = ", ".join(f"`/{name}`" for name in SETTINGS)
    hosts = code(*PUBLIC_HOSTS)
    return "\n".join(
        [
            _INTRODUCTION.format(settings=settings, hosts=hosts),
            "## Operations\n",
            routes_table(),
            "### Metrics of container groups\n",
            "| Metric | Unit | Dimension |\n|---|---|---|",
            *(
                f"| {one.name} | {one.unit} | {'containerName' if one.per_container else ''} |"
                for one in METRICS
            ),
            "\n## Seed\n",
            _seed(),
            numbers_table("timings", "seconds of the emulated clock", Timings()),
            numbers_table("limits", "0 for none", Limits()),
            "### Built-in roles\n",
            "| Role | Actions | Not |\n|---|---|---|",
            *(f"| {one.name} | {code(*one.actions)} | {code(*one.not_actions)} |" for one in BUILT_IN),
            "",
        ]
    )


def _seed() -> str:
    """The module's own words, its indented block as code."""
    head, _, rest = (seed.__doc__ or "").partition("\n\n")
    prose, _, rest = rest.partition("\n\n")
    block, _, tail = rest.partition("\n\n")
    # Half of it is prose: no highlighting.
    return f"{head}\n\n{prose}\n\n```text\n{textwrap.dedent(block)}\n```\n\n{tail}"


if __name__ == "__main__":
    sys.stdout.write(page())
