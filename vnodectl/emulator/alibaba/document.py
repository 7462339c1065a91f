"""The page of the documentation that says what of Alibaba Cloud is emulated, written from the code.

python -m vnodectl.emulator.alibaba.document > docs/emulator-alibaba.md
"""

from __future__ import annotations

import sys
import textwrap

from vnodectl.emulator.alibaba import seed
from vnodectl.emulator.alibaba.config import SYSTEM_POLICIES, Limits, Timings
from vnodectl.emulator.alibaba.service import SETTINGS, routes_table
from vnodectl.emulator.page import code, numbers_table

_INTRODUCTION = """\
# The emulated Alibaba Cloud

`vnodectl emulator serve --cloud alibaba` runs it alone; the sandbox runs it beside its cluster. All products
share one TLS socket, which the vendor's SDKs take as their `endpoint`. Signatures are verified
(ACS3-HMAC-SHA256, and HMAC-SHA1 of the RPC and ROA styles), with time, nonce, STS tokens and RAM policies;
errors have the gateway's own shape (`Code`, `Message`, `RequestId`, `HostId`, `Recommend`). Container groups
are run by an engine: podman, docker, processes, or simulated ones for scale. An operation that is not listed
here is refused with `InvalidAction.NotFound`, and logged.

The control API (plain HTTP on 127.0.0.1) has `/state`, `/seed`, `/reset`, `/clock`, `/latency`, `/faults`,
`/calls`, `/counters`, `/routes` and {settings}. A fault names an operation as RAM does:
`{{"template": "vpc:DescribeVSwitches", "status": 403, "code": "Forbidden.RAM"}}`. What is seeded again with
another `status` or `state` has it from then on.

This page is generated from `vnodectl/emulator/alibaba` by `make docs`.
"""


def page() -> str:
    settings = ", ".join(f"`/{name}`" for name in SETTINGS)
    return "\n".join(
        [
            _INTRODUCTION.format(settings=settings),
            "## Operations\n",
            routes_table(),
            "## Seed\n",
            _seed(),
            numbers_table("timings", "seconds of the emulated clock", Timings()),
            numbers_table("limits", "calls a minute, or sizes; 0 for none", Limits()),
            "### System policies\n",
            "| Policy | Actions |\n|---|---|",
            *(f"| {name} | {code(*actions)} |" for name, actions in SYSTEM_POLICIES.items()),
            "",
        ]
    )


def _seed() -> str:
    """The module's own words, its indented block as code."""
    head, _, rest = (seed.__doc__ or "").partition("\n\n")
    block, _, tail = rest.partition("\n\n")
    # Half of it is prose: no highlighting.
    return f"{head}\n\n```text\n{textwrap.dedent(block)}\n```\n\n{tail}"


if __name__ == "__main__":
    sys.stdout.write(page())
