"""A call to ARM once it is authenticated and routed, its answer, and what handlers share."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlencode

from vnodectl.emulator.azure.config import Principal
from vnodectl.emulator.azure.errors import bad_request, invalid_content
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.router import Route

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """`params` are the path's, `query` has lower-case names, `base_url` is how the client reached us."""

    method: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    principal: Principal
    base_url: str
    api_version: str

    def document(self) -> JSON:
        """The body, which must be a JSON object. Raises ArmError."""
        if not isinstance(self.body, dict):
            raise invalid_content("a JSON object was expected.")
        return self.body


@dataclass(frozen=True, slots=True)
class Answer:
    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[Answer]]
ArmRoute = Route[Handler]


class Grouped(Protocol):
    """A resource that is in a resource group."""

    @property
    def resource_group(self) -> str: ...


G = TypeVar("G", bound=Grouped)


def in_group(resources: Iterable[G], group: str, id_of: Callable[[G], str]) -> dict[str, G]:
    """Those of the group ("" means all of the subscription) by their IDs, as `page` takes them."""
    return {
        id_of(one).casefold(): one
        for one in resources
        if not group or one.resource_group.casefold() == group.casefold()
    }


def page(call: Call, items: Mapping[str, T], render: Callable[[T], JSON], size: int) -> Answer:
    """One page of `items`, sorted by their keys, with a `nextLink` where there are more. `size` 0: all.

    The link remembers the last key, so that items that come or go meanwhile neither repeat nor skip others.
    """
    after = _read_token(call.query.get("$skiptoken", ""))
    keys = sorted(key for key in items if key > after)
    chosen = keys[:size] if size else keys
    body: JSON = {"value": [render(items[key]) for key in chosen]}
    if len(chosen) < len(keys):
        token = base64.urlsafe_b64encode(chosen[-1].encode()).decode()
        query = urlencode(dict(call.query) | {"$skiptoken": token}, safe="$")
        body["nextLink"] = f"{call.base_url}{quote(call.path)}?{query}"
    return Answer(200, body)


def _read_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, ValueError) as error:
        raise bad_request("InvalidSkipToken", f"The skip token '{token}' is invalid.") from error


def tags_of(document: JSON) -> dict[str, str]:
    """The `tags` of a resource. Raises ArmError unless they are at most 50 strings by name."""
    tags = document.get("tags") or {}
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise invalid_content("tags must be an object of strings.")
    if len(tags) > 50:
        raise bad_request("TooManyTags", f"The resource has {len(tags)} tags; the limit is 50.")
    return dict(tags)
