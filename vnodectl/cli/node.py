"""`vnodectl wait-node`: what the chart's test runs inside the cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from vnodectl.cli import options
from vnodectl.cli.output import note
from vnodectl.cli.run import log_to_stderr, run


def wait_node(
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="The nodes' names.")],
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    timeout: options.Timeout = None,
    verbose: options.Verbose = 0,
) -> None:
    """Wait until nodes are Ready and their Leases fresh. Exit code 4 where one does not come."""
    from vnodectl.connector.plan import seconds

    log_to_stderr(verbose)
    run(_wait(names, kubeconfig, context, seconds(timeout)))


async def _wait(names: list[str], kubeconfig: str | None, context: str | None, timeout: float) -> None:
    import asyncio

    from vnodectl.connector import node
    from vnodectl.kube.config import connect

    async with await connect(kubeconfig, context) as kube:
        deadline = asyncio.get_running_loop().time() + timeout
        for name in names:
            left = max(0.0, deadline - asyncio.get_running_loop().time())
            note(str(await node.wait_node(kube, name, timeout=left)))
