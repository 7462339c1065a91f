"""A call once it is authenticated and routed, the operations there are, and what handlers share."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from vnodectl.emulator.alibaba.errors import ApiError, invalid_parameter
from vnodectl.emulator.alibaba.identities import Identity
from vnodectl.emulator.alibaba.params import Params
from vnodectl.emulator.documents import JSON

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """`params` are the operation's own, without the protocol's; `flat` the same by their full names.

    `path` are the parameters in the path of a ROA operation, `base_url` is how the client reached us.
    """

    operation: Operation
    params: Params
    flat: Mapping[str, str]
    identity: Identity
    base_url: str
    request_id: str
    path: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[JSON]]


@dataclass(frozen=True, slots=True)
class Product:
    """`code` is how RAM's actions name it, `name` how the console does; `style` RPC or ROA."""

    code: str
    name: str
    version: str
    style: str = "RPC"


ECI = Product("eci", "Eci", "2018-08-08")
ECS = Product("ecs", "Ecs", "2014-05-26")
VPC = Product("vpc", "Vpc", "2016-04-28")
STS = Product("sts", "Sts", "2015-04-01")
RAM = Product("ram", "Ram", "2015-05-01")
CS = Product("cs", "CS", "2015-12-15", "ROA")


@dataclass(frozen=True, slots=True)
class Operation:
    """`path` of a ROA operation. `anonymous` ones are not signed, `open` ones need no permission.

    `limit` names a field of `config.Limits`.
    `denied` answers who lacks the permission, where the service does not simply refuse.
    """

    product: Product
    name: str
    handler: Handler
    methods: tuple[str, ...] = ("GET", "POST")
    path: str = "/"
    anonymous: bool = False
    open: bool = False
    limit: str = ""
    note: str = ""
    denied: Callable[[], JSON] | None = None

    @property
    def action(self) -> str:
        """As RAM's policies, the recorder and faults name it, e.g. eci:CreateContainerGroup."""
        return f"{self.product.code}:{self.name}"


class Catalogue:
    """The operations of the RPC style by action and version."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations = tuple(operations)
        self._rpc = {
            (one.name, one.product.version): one for one in self.operations if one.product.style == "RPC"
        }
        self._versions = {version for _, version in self._rpc}

    def find(self, action: str, version: str) -> Operation | None:
        return self._rpc.get((action, version))

    def known_version(self, version: str) -> bool:
        return version in self._versions

    def table(self) -> str:
        """A Markdown table of all operations, sorted by product and name."""
        rows = ["| Product | Version | Style | Operation | Request | Notes |", "|---|---|---|---|---|---|"]
        for one in sorted(self.operations, key=lambda one: (one.product.code, one.name)):
            product = one.product
            rows.append(
                f"| {product.name} | {product.version} | {product.style} | {one.name} | "
                f"{', '.join(one.methods)} `{one.path}` | {one.note} |"
            )
        return "\n".join(rows) + "\n"


def region_of(call: Call, known: Iterable[str]) -> str:
    """The RegionId of the call. Raises ApiError."""
    region = call.params.required("RegionId")
    if region not in known:
        raise ApiError(404, "InvalidRegionId.NotFound", "The specified RegionId does not exist.")
    return region


def token_page(
    params: Params, items: Mapping[str, T], *, size: int, most: int, name: str = "Limit"
) -> tuple[list[T], str]:
    """One page of `items`, sorted by their keys, and the NextToken ("" for the last page).

    The token remembers the last key, so that items that come or go meanwhile neither repeat nor skip others.
    """
    after = _read_token(params.text("NextToken"))
    limit = params.integer(name, size, least=1, most=most)
    keys = sorted(key for key in items if key > after)
    chosen = keys[:limit]
    more = len(chosen) < len(keys)
    token = base64.urlsafe_b64encode(chosen[-1].encode()).decode() if more else ""
    return [items[key] for key in chosen], token


def numbered_page(params: Params, items: list[T], *, size: int = 10, most: int = 50) -> tuple[list[T], JSON]:
    """One page by PageNumber and PageSize, and the fields that say which one it is."""
    number = params.integer("PageNumber", 1, least=1)
    limit = params.integer("PageSize", size, least=1, most=most)
    chosen = items[(number - 1) * limit : number * limit]
    return chosen, {"PageNumber": number, "PageSize": limit, "TotalCount": len(items)}


def wanted_tags(params: Params) -> dict[str, str]:
    """The `Tag.N.Key` and `Tag.N.Value` of a query; an empty value stands for any."""
    return {tag.required("Key"): tag.text("Value") for tag in params.items("Tag")}


def has_tags(tags: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(key in tags and value in ("", tags[key]) for key, value in wanted.items())


def tag_list(tags: Mapping[str, str]) -> list[JSON]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _read_token(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise invalid_parameter("NextToken") from error
