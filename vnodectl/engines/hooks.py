"""What a container has done after its start and before its end."""

from __future__ import annotations

from functools import partial

from vnodectl.engines.api import EngineError, Hook, Probe
from vnodectl.engines.driver import Attempt
from vnodectl.engines.group import Group
from vnodectl.engines.probes import check
from vnodectl.engines.tasks import first

UNLIMITED = 24 * 3600.0


async def carry_out(hook: Hook, attempt: Attempt, group: Group, *, limit: float = UNLIMITED) -> str:
    """Within `limit` seconds; why it failed, "" where it did not."""
    if hook.sleep is not None:
        await group.clock.sleep(min(hook.sleep, limit))
        return "" if hook.sleep <= limit else _late(limit)
    failures: list[str] = []

    async def act() -> None:
        probe = Probe(
            command=hook.command,
            http_path=hook.http_path,
            http_scheme=hook.http_scheme,
            http_headers=hook.http_headers,
            port=hook.port,
            host=hook.host,
            # The limit below is the only one, so that there is one answer to what went wrong.
            timeout=UNLIMITED,
        )
        try:
            result = await check(probe, group.ip, partial(group.driver.run, attempt), group.settings.probes)
        except EngineError as error:
            failures.append(str(error))
        else:
            if not result.ok:
                failures.append(result.message)

    if await first(act(), group.clock.sleep(limit), name=f"hook-{attempt.container}") == 1:
        return _late(limit)
    return "".join(failures)


def _late(limit: float) -> str:
    return f"it did not end within {round(limit, 1):g} s"
