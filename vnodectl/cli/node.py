"""`vnodectl wait-node`: what the chart's test runs inside the cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from vnodectl.cli import options
from vnodectl.cli.output import note
from vnodectl.cli.run import log_to_stderr, run


def wait_node(
    name: Annotated[str, typer.Argument(help="The node's name.")],
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    timeout: options.Timeout = None,
    verbose: options.Verbose = 0,
) -> None:
    """Wait until a node is Ready and its Lease fresh. Exit code 4 where it does not come."""
    from vnodectl.connector.plan import seconds

    log_to_stderr(verbose)
    run(_wait(name, kubeconfig, context, seconds(timeout)))


async def _wait(name: str, kubeconfig: str | None, context: str | None, timeout: float) -> None:
    from vnodectl.connector import node
    from vnodectl.kube.config import connect

    async with await connect(kubeconfig, context) as kube:
        note(str(await node.wait_node(kube, name, timeout=timeout)))
