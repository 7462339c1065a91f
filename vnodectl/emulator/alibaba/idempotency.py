"""ClientTokens: the same token with the same parameters gets the same answer, and nothing happens again."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from vnodectl.emulator.alibaba.calls import Call
from vnodectl.emulator.alibaba.errors import ApiError, invalid_parameter
from vnodectl.emulator.alibaba.world import World
from vnodectl.emulator.documents import JSON

LONGEST = 64


class ClientTokens:
    """Tokens belong to an operation and an account. Only what succeeded is remembered."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._answers: OrderedDict[tuple[str, str], tuple[float, str, JSON]] = OrderedDict()

    def clear(self) -> None:
        self._answers.clear()

    async def once(self, call: Call, work: Callable[[], Awaitable[JSON]]) -> JSON:
        """Raises ApiError IdempotentParameterMismatch, and what `work` raises."""
        token = call.params.text("ClientToken")
        if not token:
            return await work()
        if len(token) > LONGEST or not token.isascii():
            raise invalid_parameter("ClientToken", f"must have at most {LONGEST} ASCII characters")
        now = self._world.clock.now()
        self._forget(now)
        key = (call.operation.action, token)
        print_ = _fingerprint(call)
        if known := self._answers.get(key):
            if known[1] != print_:
                raise ApiError(
                    400,
                    "IdempotentParameterMismatch",
                    "The specified parameter has changed while using an already used clientToken.",
                )
            return dict(known[2])
        answer = await work()
        self._answers[key] = (now, print_, dict(answer))
        return answer

    def _forget(self, now: float) -> None:
        oldest = now - self._world.timings.client_token
        while self._answers and next(iter(self._answers.values()))[0] < oldest:
            self._answers.popitem(last=False)


def _fingerprint(call: Call) -> str:
    """Not the parameters themselves: they hold secrets."""
    text = json.dumps(
        {name: value for name, value in call.flat.items() if name != "ClientToken"}, sort_keys=True
    )
    return hashlib.sha256(text.encode()).hexdigest()
