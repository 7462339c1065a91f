"""What an installation must not depend on: that its caller may look at everything."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable

from vnodectl.checks.context import Context
from vnodectl.checks.model import Answer, not_applicable
from vnodectl.clouds.azure import AzureForbidden

Ask = Callable[[Context], Awaitable[Answer]]


def forgiving(ask: Ask) -> Ask:
    """The same question, skipped where the caller may not look: others may have granted what it is about.

    A caller with rights in one resource group alone installs well, and sees neither quotas nor networks.
    """

    @functools.wraps(ask)
    async def asked(context: Context) -> Answer:
        try:
            return await ask(context)
        except AzureForbidden as error:
            return not_applicable(f"the caller may not look: {error.message}")

    return asked
