"""One identity at Alibaba Cloud: plain JSON through the SDK's pipeline, and the vendor's typed ECI client."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from vnodectl.clouds.alibaba import credentials, tags, transport
from vnodectl.clouds.alibaba.errors import (
    AlibabaError,
    AlibabaNotFound,
    AlibabaThrottled,
    NoAnswer,
    NotConnected,
    unreachable,
)
from vnodectl.clouds.alibaba.settings import AlibabaSettings
from vnodectl.clouds.alibaba.transport import CallMeter, CallOptions, Wire
from vnodectl.clouds.http import http_session, tls_context
from vnodectl.errors import CloudUnreachable, UsageError, VnodectlError
from vnodectl.httpdate import ahead

if TYPE_CHECKING:
    import aiohttp
    from alibabacloud_eci20180808.client import Client as EciClient

JSON = dict[str, Any]

ECI_API = "2018-08-08"
VPC_API = "2016-04-28"
ECS_API = "2014-05-26"
STS_API = "2015-04-01"
CS_API = "2015-12-15"

_REGIONAL = frozenset({"eci", "vpc", "ecs"})
"""Products whose every API takes a RegionId."""

_CONNECTIONS = 128
"""More than the runtime has workers, so that reads never wait behind a burst of creates."""

_RETRIES = 3
_MAX_BACKOFF = 10.0
_CONNECT_AGAIN = 0.2
"""Seconds. Where nobody listens, one more try soon is enough, and none where a whole wait ran out: whoever
asks has a patience of their own, and this one would be multiplied by it."""
_MAX_PAGES = 10_000
_VPC_PAGE = 50


class AlibabaSession:
    """Calls Alibaba Cloud as one identity. Use as an async context manager.

    Every method raises `AlibabaError` (by code: `AlibabaNotFound`, `AlibabaForbidden`,
    `AlibabaUnauthorized`, `AlibabaThrottled`) where the service said no and `CloudUnreachable` where it did
    not answer. `clock` gives seconds since the epoch, `sleep` waits between retries.
    """

    def __init__(
        self,
        settings: AlibabaSettings,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.settings = settings
        self.meter = CallMeter()
        self._clock = clock
        self._sleep = sleep
        self._stack = AsyncExitStack()
        self._http: aiohttp.ClientSession | None = None
        self._wire: Wire | None = None
        self._clients: dict[str, Any] = {}
        self._eci: EciClient | None = None

    async def __aenter__(self) -> AlibabaSession:
        credentials.check(self.settings)
        context = tls_context(self.settings.ca_bundle)
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(http_session(context, limit=_CONNECTIONS))
            self._http = http
            self._wire = Wire(http, self.meter, self._clock)
            self._wire.keys = credentials.key_source(
                self.settings, assume_role=self._assume_role, http=http, clock=self._clock
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._stack.aclose()
        self._http = self._wire = self._eci = None
        self._clients = {}

    # --- the pipeline -----------------------------------------------------------------------------

    @property
    def region(self) -> str:
        """E.g. `cn-hangzhou`. Raises `UsageError` where none is known."""
        if not self.settings.region:
            raise UsageError("no Alibaba Cloud region is given", hint="set ALIBABA_CLOUD_REGION_ID")
        return self.settings.region

    @property
    def http(self) -> aiohttp.ClientSession:
        """The connection pool, for what is not an API (the WebSockets of exec). Signs nothing by itself."""
        if self._http is None:
            raise RuntimeError("the session is not open")
        return self._http

    async def call(
        self,
        product: str,
        action: str,
        version: str,
        params: Mapping[str, Any] | None = None,
        *,
        retries: bool = True,
        hide: Iterable[str] = (),
    ) -> JSON:
        """An RPC-style API's answer as plain JSON.

        `params` may nest: `{"Tag": [{"Key": "a"}]}` is sent as `Tag.1.Key=a`. RegionId is filled in where
        the product wants one. `retries` tries again after throttling and failures that pass (reads only:
        leave it off for what must not happen twice). `hide` are values that no error may repeat.
        """
        given = dict(params or {})
        if product in _REGIONAL:
            given.setdefault("RegionId", self.region)
        return await self._call(
            product, action, version, "RPC", "POST", "/", given, retries=retries, hide=hide
        )

    async def roa(
        self,
        product: str,
        action: str,
        version: str,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        body: JSON | None = None,
    ) -> JSON:
        """A path-style API's answer as plain JSON; `path` begins with `/`, its names already quoted."""
        return await self._call(
            product,
            action,
            version,
            "ROA",
            method,
            path,
            dict(params or {}),
            body=body,
            retries=method == "GET",
        )

    async def clock_skew(self) -> float | None:
        """Seconds that the service's clock is ahead of this machine's; None where it does not tell.

        Asked without a signature: one made with a wrong clock would be refused.
        """
        import aiohttp

        before = self._clock()
        try:
            async with self.http.get(
                f"https://{self.settings.host('sts')}/",
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=10),
            ) as response:
                return ahead(response.headers.get("Date"), before, self._clock())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(error) from None

    async def _call(
        self,
        product: str,
        action: str,
        version: str,
        style: str,
        method: str,
        path: str,
        query: Mapping[str, Any],
        *,
        body: JSON | None = None,
        retries: bool,
        hide: Iterable[str] = (),
        anonymous: bool = False,
    ) -> JSON:
        from alibabacloud_tea_openapi.utils import Utils
        from alibabacloud_tea_openapi.utils_models import OpenApiRequest, Params

        params = Params(
            action=action,
            version=version,
            protocol="HTTPS",
            pathname=path,
            method=method,
            auth_type="Anonymous" if anonymous else "AK",
            style=style,
            req_body_type="json" if style == "ROA" else "formData",
            body_type="json",
        )
        request = OpenApiRequest(query=Utils.query(_spelled(query)), body=body)
        options = CallOptions(tuple(hide))
        for attempt in range(_RETRIES + 1):
            try:
                answer = await self._client(product).call_api_async(params, request, options)
                found: JSON = answer["body"]
                return found
            except (AlibabaError, CloudUnreachable) as error:
                wait = _retry_in(error, attempt) if retries and attempt < _RETRIES else None
                if wait is None:
                    raise
                await self._sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _client(self, product: str) -> Any:
        if product not in self._clients:
            self._clients[product] = transport.client(self._open_wire(), self.settings.host(product))
        return self._clients[product]

    def _open_wire(self) -> Wire:
        if self._wire is None:
            raise RuntimeError("the session is not open")
        return self._wire

    async def _assume_role(self, parameters: Mapping[str, str]) -> JSON:
        return await self._call(
            "sts",
            "AssumeRoleWithOIDC",
            STS_API,
            "RPC",
            "POST",
            "/",
            parameters,
            retries=True,
            hide=(parameters["OIDCToken"],),
            anonymous=True,
        )

    # --- the typed client -------------------------------------------------------------------------

    def eci(self) -> EciClient:
        """The vendor's client (use its `*_async` methods), owned by this session.

        Its calls raise `AlibabaError` and `CloudUnreachable` like every other here.
        """
        if self._eci is None:
            self._eci = transport.eci_client(self._open_wire(), self.settings.host("eci"))
        return self._eci

    # --- what the commands ask for ----------------------------------------------------------------

    async def caller(self) -> JSON:
        """Who these keys are: `AccountId`, `Arn`, `IdentityType`, `PrincipalId`, `UserId` or `RoleId`."""
        return await self.call("sts", "GetCallerIdentity", STS_API)

    async def regions(self) -> list[JSON]:
        """Regions with ECI: `RegionId`, `Zones`, `RecommendZones`, `RegionEndpoint`."""
        return list((await self.call("eci", "DescribeRegions", ECI_API)).get("Regions") or ())

    async def usage(self) -> JSON:
        """ECI's quotas in the region: `MaxCpu`, `UsedCpu`, `MaxImageCacheCount`, …"""
        answer = await self.call("eci", "ListUsage", ECI_API)
        attributes = answer.get("Attributes") or {}
        # A map of numbers, which some regions answer as JSON text.
        found: JSON = json.loads(attributes) if isinstance(attributes, str) else attributes
        return found

    async def vswitch(self, vswitch_id: str) -> JSON:
        """`VpcId`, `ZoneId`, `CidrBlock`, `AvailableIpAddressCount`, `Status`, … Raises `AlibabaNotFound`."""
        answer = await self.call("vpc", "DescribeVSwitches", VPC_API, {"VSwitchId": vswitch_id})
        return _only(
            (answer.get("VSwitches") or {}).get("VSwitch"), "vSwitch", "InvalidVSwitchId", vswitch_id
        )

    async def vswitches(self, vpc_id: str) -> list[JSON]:
        """Every vSwitch of a VPC."""
        found: list[JSON] = []
        for number in range(1, _MAX_PAGES):
            params = {"VpcId": vpc_id, "PageSize": _VPC_PAGE, "PageNumber": number}
            answer = await self.call("vpc", "DescribeVSwitches", VPC_API, params)
            page = (answer.get("VSwitches") or {}).get("VSwitch") or ()
            found.extend(page)
            if not page or len(found) >= int(answer.get("TotalCount") or 0):
                break
        return found

    async def vpc(self, vpc_id: str) -> JSON:
        """`CidrBlock`, `Status`, `VSwitchIds`, … Raises `AlibabaNotFound`."""
        answer = await self.call("vpc", "DescribeVpcs", VPC_API, {"VpcId": vpc_id})
        return _only((answer.get("Vpcs") or {}).get("Vpc"), "VPC", "InvalidVpcId", vpc_id)

    async def security_group(self, group_id: str) -> JSON:
        """`VpcId`, `SecurityGroupType`, `SecurityGroupName`, … Raises `AlibabaNotFound`."""
        params = {"SecurityGroupIds": json.dumps([group_id])}
        answer = await self.call("ecs", "DescribeSecurityGroups", ECS_API, params)
        found = (answer.get("SecurityGroups") or {}).get("SecurityGroup")
        return _only(found, "security group", "InvalidSecurityGroupId", group_id)

    async def cluster(self, cluster_id: str) -> JSON:
        """The ACK cluster as CS describes it: `name`, `state`, `region_id`, `vpc_id`, `vswitch_ids`, …"""
        path = f"/clusters/{quote(cluster_id, safe='')}"
        return await self.roa("cs", "DescribeClusterDetail", CS_API, "GET", path)

    async def cluster_kubeconfig(
        self, cluster_id: str, *, private: bool = False, minutes: int | None = None
    ) -> bytes:
        """A kubeconfig (YAML) for the cluster, through its private address if `private`.

        `minutes` (15 to 4320) makes it temporary.
        """
        params: JSON = {"PrivateIpAddress": private}
        if minutes is not None:
            params["TemporaryDurationMinutes"] = minutes
        path = f"/k8s/{quote(cluster_id, safe='')}/user_config"
        answer = await self.roa("cs", "DescribeClusterUserKubeconfig", CS_API, "GET", path, params)
        config = answer.get("config")
        if not config:
            raise AlibabaError(0, "NoKubeconfig", f"CS gave no kubeconfig for cluster {cluster_id}")
        return str(config).encode()

    async def container_groups(self, owner: tags.Owner) -> list[JSON]:
        """Every container group of one node, as DescribeContainerGroups returns it. All or an error."""
        return await self.tagged_groups({tags.NODE: owner.node, tags.CONNECTOR: owner.connector})

    async def tagged_groups(self, wanted: Mapping[str, str]) -> list[JSON]:
        """Every container group with all of these tags. All or an error."""
        params: JSON = {"Tag": tags.as_list(wanted), "Limit": 20}
        found: list[JSON] = []
        for _ in range(_MAX_PAGES):
            answer = await self.call("eci", "DescribeContainerGroups", ECI_API, params)
            found.extend(answer.get("ContainerGroups") or ())
            token = answer.get("NextToken")
            if not token:
                return found
            params["NextToken"] = token
        raise AlibabaError(0, "EndlessList", f"a list did not end after {_MAX_PAGES} pages")


def _spelled(value: Any) -> Any:
    """Booleans as the APIs spell them; nothing that is None."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return {key: _spelled(one) for key, one in value.items() if one is not None}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_spelled(one) for one in value]
    return value


def _retry_in(error: VnodectlError, attempt: int) -> float | None:
    """Seconds until another try may work; None where it would not."""
    if isinstance(error, NotConnected):
        return None if attempt else _CONNECT_AGAIN
    if isinstance(error, NoAnswer):
        return None
    backoff = min(_MAX_BACKOFF, 0.5 * 2.0**attempt)
    if isinstance(error, AlibabaThrottled):
        wait = error.retry_after if error.retry_after is not None else backoff
        return wait if wait <= _MAX_BACKOFF else None
    passing = isinstance(error, CloudUnreachable) or (isinstance(error, AlibabaError) and error.status >= 500)
    return backoff if passing else None


def _only(found: Any, what: str, code: str, name: str) -> JSON:
    """The one item of a list that was asked for by id: these APIs answer an unknown id with an empty list."""
    if not found:
        raise AlibabaNotFound(404, f"{code}.NotFound", f"there is no {what} {name} in this region")
    one: JSON = found[0]
    return one
