"""Taking away what a sandbox has left, in whatever way it ended. Every step may find nothing to do."""

from __future__ import annotations

import asyncio

from vnodectl.errors import VnodectlError
from vnodectl.sandbox import existing, ground, processes
from vnodectl.sandbox.cache import remove_tree
from vnodectl.sandbox.layout import Layout
from vnodectl.sandbox.plan import Plan
from vnodectl.sandbox.programs import run


async def everything(layout: Layout) -> None:
    """Containers, processes, mounts, the network and the sandbox's directory, once its supervisor is gone.

    Raises VnodectlError where something cannot be removed; what names it is kept, so that the next try
    finds it again.
    """
    plan = _plan(layout)
    if plan is not None:
        if plan.control_plane is None and layout.kubeconfig.is_file():
            await existing.remove_nodes(layout.kubeconfig, plan.node_names)
        await ground.leave(layout, plan)
        if left := await asyncio.to_thread(processes.kill_run, plan.run):
            raise VnodectlError(f"these processes of the sandbox do not end: {left}")
    for point in processes.mounts_under(layout.root):
        await run(["umount", "--lazy", point])
    ground.remove_sockets(layout)
    if layout.root.exists():
        await asyncio.to_thread(remove_tree, layout.root)


def _plan(layout: Layout) -> Plan | None:
    try:
        return Plan.load(layout.plan)
    except (OSError, ValueError, TypeError, KeyError):  # not there, or only half written
        return None
