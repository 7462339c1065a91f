"""One identity at one Azure cloud: plain JSON through the SDK's pipeline, and the vendor's typed clients."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from vnodectl.clouds.azure import credentials, transport
from vnodectl.clouds.azure.credentials import RotatingSecretCredential
from vnodectl.clouds.azure.errors import (
    AzureError,
    azure_errors,
    from_response,
    parse_retry_after,
    redact,
    unreachable,
)
from vnodectl.clouds.azure.settings import AzureSettings
from vnodectl.clouds.azure.transport import CallMeter
from vnodectl.clouds.http import http_session, tls_context
from vnodectl.errors import CloudUnreachable, UsageError
from vnodectl.httpdate import ahead

if TYPE_CHECKING:
    import aiohttp
    from azure.mgmt.containerinstance.aio import ContainerInstanceManagementClient
    from azure.mgmt.containerservice.aio import ContainerServiceClient

JSON = dict[str, Any]

RESOURCES_API = "2021-04-01"
SUBSCRIPTIONS_API = "2022-12-01"
CONTAINER_INSTANCE_API = "2023-05-01"
"""What azure-mgmt-containerinstance 10.1 speaks."""
CONTAINER_SERVICE_API = "2024-09-01"
"""Old enough for the sovereign clouds; only reads and credentials are used."""

_MAX_PAGES = 10_000
_METADATA = "/metadata/endpoints?api-version=2020-09-01"
"""Of ARM, open to everybody."""


@dataclass(frozen=True, slots=True)
class ArmResponse:
    """A successful answer. `body` is {} where there was none; header names are as the server sent them."""

    status: int
    body: JSON
    headers: Mapping[str, str] = field(repr=False)

    @property
    def retry_after(self) -> float | None:
        """Seconds, where the answer said so."""
        return parse_retry_after(self.headers)


class AzureSession:
    """Calls Azure as one identity. Use as an async context manager.

    Every method raises `AzureError` (by status: `AzureNotFound`, `AzureForbidden`, `AzureUnauthorized`,
    `AzureConflict`, `AzureThrottled`) where Azure said no and `CloudUnreachable` where it did not answer.
    """

    def __init__(self, settings: AzureSettings) -> None:
        self.settings = settings
        self.meter = CallMeter()
        self._stack = AsyncExitStack()
        self._http: aiohttp.ClientSession | None = None
        self._credential: Any = None
        self._arm: Any = None
        self._graph: Any = None
        self._metrics: Any = None
        self._instances: ContainerInstanceManagementClient | None = None
        self._services: ContainerServiceClient | None = None

    async def __aenter__(self) -> AzureSession:
        credentials.check(self.settings)
        context = tls_context(self.settings.ca_bundle)
        async with AsyncExitStack() as stack:
            # azure-core decompresses itself.
            http = await stack.enter_async_context(http_session(context, auto_decompress=False))
            self._http = http
            self._credential = credentials.credential(self.settings, lambda: transport.transport(http))
            stack.push_async_callback(self._credential.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._stack.aclose()
        self._http = self._credential = self._arm = self._graph = self._metrics = None
        self._instances = self._services = None

    # --- the pipeline -----------------------------------------------------------------------------

    @property
    def subscription(self) -> str:
        """`/subscriptions/<id>`. Raises `UsageError` where no subscription is known."""
        if not self.settings.subscription_id:
            raise UsageError(
                "no Azure subscription is given",
                hint="set AZURE_SUBSCRIPTION_ID, or choose one: az account set --subscription <name or id>",
            )
        return f"/subscriptions/{self.settings.subscription_id}"

    @property
    def http(self) -> aiohttp.ClientSession:
        """The connection pool, for what is not ARM (the WebSockets of exec). Sends no token by itself."""
        if self._http is None:
            raise RuntimeError("the session is not open")
        return self._http

    def redact(self, text: str) -> str:
        """`text` without tokens, named keys and this session's client secret."""
        current = self._credential.secret if isinstance(self._credential, RotatingSecretCredential) else ""
        return redact(text, (self.settings.client_secret, current))

    async def arm(
        self,
        method: str,
        path: str,
        api_version: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: JSON | None = None,
    ) -> JSON:
        """The JSON that ARM answers with; {} where it answers without a body.

        `path` begins with `/subscriptions/` or `/providers/`, its names already quoted (see `path_of`).
        """
        return (await self.request(method, path, api_version, params=params, body=body)).body

    async def request(
        self,
        method: str,
        path: str,
        api_version: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: JSON | None = None,
        retries: bool = True,
    ) -> ArmResponse:
        """As `arm`, with status and headers. `retries=False` returns 429 and 5xx to the caller at once."""
        query = {"api-version": api_version, **{key: str(value) for key, value in (params or {}).items()}}
        url = self.settings.arm_endpoint + path
        return await self._send(method, url, query, body, retries=retries)

    async def pages(
        self,
        path: str,
        api_version: str,
        *,
        params: Mapping[str, str | int] | None = None,
        retries: bool = True,
    ) -> list[JSON]:
        """Every item of a list, page by page. Raises where any page fails: no partial list is returned."""
        answer = await self.request("GET", path, api_version, params=params, retries=retries)
        items: list[JSON] = list(answer.body.get("value") or ())
        for _ in range(_MAX_PAGES):
            link = answer.body.get("nextLink")
            if not link:
                return items
            if urlsplit(link)[:2] != urlsplit(self.settings.arm_endpoint)[:2]:
                # A token must never follow a link to somewhere else.
                raise AzureError(0, "ForeignNextLink", "a list continues at another host than ARM's")
            answer = await self._send("GET", link, None, None, retries=retries)
            items.extend(answer.body.get("value") or ())
        raise AzureError(0, "EndlessList", f"a list did not end after {_MAX_PAGES} pages")

    async def follow(self, url: str) -> ArmResponse:
        """GET an `Azure-AsyncOperation` or `Location` URL that ARM gave; only ever on ARM's own host."""
        if urlsplit(url)[:2] != urlsplit(self.settings.arm_endpoint)[:2]:
            raise AzureError(0, "ForeignOperationLink", "an operation's URL is at another host than ARM's")
        return await self._send("GET", url, None, None, retries=False)

    async def graph(self, path: str, *, params: Mapping[str, str] | None = None) -> JSON:
        """GET of Microsoft Graph, which knows applications and their secrets; `path` begins with `/v1.0/`."""
        if self._graph is None:
            from azure.mgmt.core import AsyncARMPipelineClient

            self._graph = AsyncARMPipelineClient(
                self.settings.graph_endpoint,
                policies=transport.policies(self._credential, self.settings.graph_scope, CallMeter()),
                transport=transport.transport(self.http),
            )
        url = self.settings.graph_endpoint + path
        return (await self._exchange(self._graph, "GET", url, params, None, retries=True)).body

    async def metrics(self, region: str, params: Mapping[str, str], resource_ids: Sequence[str]) -> JSON:
        """Azure Monitor's metrics of up to 50 resources of one type in one region (`metrics:getBatch`)."""
        base = self.settings.metrics_endpoint(region)
        if self._metrics is None:
            from azure.mgmt.core import AsyncARMPipelineClient

            self._metrics = AsyncARMPipelineClient(
                base,
                policies=transport.policies(self._credential, self.settings.metrics_scope, CallMeter()),
                transport=transport.transport(self.http),
            )
        url = f"{base}{self.subscription}/metrics:getBatch"
        body = {"resourceids": list(resource_ids)}
        return (await self._exchange(self._metrics, "POST", url, params, body, retries=False)).body

    async def token(self, scope: str) -> str:
        """A bearer token of this identity, for a service of Azure's that is not ARM; a secret."""
        with azure_errors(self.redact):
            return str((await self._credential.get_token(scope)).token)

    async def clock_skew(self) -> float | None:
        """Seconds that ARM's clock is ahead of this machine's; None where it does not tell.

        Asked without a token: none is given out to a machine with a wrong clock.
        """
        import aiohttp

        before = time.time()
        try:
            async with self.http.get(
                f"{self.settings.arm_endpoint}{_METADATA}",
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=10),
            ) as response:
                return ahead(response.headers.get("Date"), before, time.time())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(error) from None

    async def _send(
        self,
        method: str,
        url: str,
        query: Mapping[str, str] | None,
        body: JSON | None,
        *,
        retries: bool,
    ) -> ArmResponse:
        return await self._exchange(self._pipeline(), method, url, query, body, retries=retries)

    async def _exchange(
        self,
        pipeline: Any,
        method: str,
        url: str,
        query: Mapping[str, str] | None,
        body: JSON | None,
        *,
        retries: bool,
    ) -> ArmResponse:
        from azure.core.rest import HttpRequest

        request = HttpRequest(method, url, params=query, json=body)
        options = {} if retries else {"retry_total": 0, "retry_status": 0}
        with azure_errors(self.redact):
            response = await pipeline.send_request(request, **options)
            text = response.text()
        headers = {key: response.headers[key] for key in response.headers}
        if response.status_code >= 400:
            raise from_response(response.status_code, headers, text, self.redact)
        try:
            parsed = response.json() if text else {}
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            raise CloudUnreachable(
                f"{urlsplit(url).netloc} does not answer like Azure Resource Manager (no JSON object)",
                hint="check VNODECTL_ARM_ENDPOINT and any proxy in between",
            )
        return ArmResponse(response.status_code, parsed, headers)

    def _pipeline(self) -> Any:
        if self._arm is None:
            from azure.mgmt.core import AsyncARMPipelineClient

            self._arm = AsyncARMPipelineClient(self.settings.arm_endpoint, **self._client_options())
        return self._arm

    def _client_options(self) -> dict[str, Any]:
        return {
            "policies": transport.policies(self._credential, self.settings.scope, self.meter),
            "transport": transport.transport(self.http),
        }

    # --- typed clients ----------------------------------------------------------------------------

    def container_instances(self) -> ContainerInstanceManagementClient:
        """The vendor's client, owned by this session: do not close it. Wrap calls in `azure_errors`."""
        if self._instances is None:
            from azure.mgmt.containerinstance.aio import ContainerInstanceManagementClient

            self._instances = ContainerInstanceManagementClient(
                self._credential,
                self.subscription.rpartition("/")[2],
                self.settings.arm_endpoint,
                **self._client_options(),
            )
        return self._instances

    def container_services(self) -> ContainerServiceClient:
        """The vendor's client, owned by this session: do not close it. Wrap calls in `azure_errors`."""
        if self._services is None:
            from azure.mgmt.containerservice.aio import ContainerServiceClient

            self._services = ContainerServiceClient(
                self._credential,
                self.subscription.rpartition("/")[2],
                self.settings.arm_endpoint,
                **self._client_options(),
            )
        return self._services

    # --- what the commands ask for ----------------------------------------------------------------

    async def provider_state(self, namespace: str) -> str:
        """`Registered`, `NotRegistered`, `Registering`, `Unregistered`, of e.g. Microsoft.Storage."""
        body = await self.arm("GET", f"{self.subscription}/providers/{_quote(namespace)}", RESOURCES_API)
        return str(body.get("registrationState") or "NotRegistered")

    async def register_provider(self, namespace: str) -> None:
        """Ask for the registration; it takes minutes: watch `provider_state`."""
        path = f"{self.subscription}/providers/{_quote(namespace)}/register"
        await self.arm("POST", path, RESOURCES_API)

    async def resource_group(self, name: str) -> JSON:
        """The group's ARM JSON; `location` is where it lives."""
        return await self.arm("GET", f"{self.subscription}/resourcegroups/{_quote(name)}", RESOURCES_API)

    async def locations(self) -> list[str]:
        """Names of the regions that the subscription may use, e.g. `eastus`."""
        found = await self.pages(f"{self.subscription}/locations", SUBSCRIPTIONS_API)
        return sorted(str(one["name"]) for one in found if one.get("name"))

    async def container_groups(self, resource_group: str) -> list[JSON]:
        """Every container group as plain JSON, without instanceView (ARM's list has none)."""
        path = path_of(self.subscription, resource_group, "Microsoft.ContainerInstance/containerGroups")
        return await self.pages(path, CONTAINER_INSTANCE_API)

    async def aks_cluster(self, resource_group: str, name: str) -> JSON:
        """The managed cluster's ARM JSON."""
        return await self.arm("GET", self._aks(resource_group, name), CONTAINER_SERVICE_API)

    async def aks_kubeconfig(self, resource_group: str, name: str, *, admin: bool = False) -> bytes:
        """A kubeconfig (YAML) for the cluster: the user's own, or the administrator's."""
        verb = "listClusterAdminCredential" if admin else "listClusterUserCredential"
        body = await self.arm("POST", f"{self._aks(resource_group, name)}/{verb}", CONTAINER_SERVICE_API)
        configs = body.get("kubeconfigs") or ()
        if not configs:
            raise AzureError(0, "NoKubeconfig", f"AKS gave no kubeconfig for cluster {name}")
        return base64.b64decode(configs[0]["value"])

    def _aks(self, resource_group: str, name: str) -> str:
        return path_of(self.subscription, resource_group, "Microsoft.ContainerService/managedClusters", name)


def path_of(subscription: str, resource_group: str, kind: str, name: str = "") -> str:
    """`/subscriptions/…/resourceGroups/…/providers/<kind>[/<name>]`, its names quoted."""
    path = f"{subscription}/resourceGroups/{_quote(resource_group)}/providers/{kind}"
    return f"{path}/{_quote(name)}" if name else path


def _quote(name: str) -> str:
    return quote(name, safe="")
