from __future__ import annotations

import base64
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from support.fake_arm import SECRET, SUBSCRIPTION, FakeArm, fake_arm

from vnodectl.clouds.azure import (
    AzureConflict,
    AzureError,
    AzureNotFound,
    AzureSession,
    AzureSettings,
    AzureThrottled,
    AzureUnauthorized,
)
from vnodectl.errors import CloudUnreachable, UsageError


async def test_json_goes_through_the_sdk_s_pipeline(tmp_path: Path) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"method": request.method, "query": dict(request.query), "body": await request.json()},
            headers={"x-ms-ratelimit-remaining-subscription-writes": "198"},
        )

    async with fake_arm(tmp_path, handle) as arm, AzureSession(arm.settings()) as session:
        answer = await session.arm("PUT", "/subscriptions/s/x", "2020-01-01", params={"a": 1}, body={"b": 2})
        assert answer == {"method": "PUT", "query": {"api-version": "2020-01-01", "a": "1"}, "body": {"b": 2}}
        assert arm.requests[0].headers["Authorization"] == "Bearer token-1"
        assert arm.requests[0].headers["User-Agent"].startswith("vnodectl/")
        assert arm.tokens[0]["scope"] == "https://management.azure.com/.default"
        assert (session.meter.writes, session.meter.remaining_writes, session.meter.remaining_reads) == (
            1,
            198,
            -1,
        )


async def test_an_unknown_ca_is_not_trusted_and_the_hint_says_how(tmp_path: Path) -> None:
    async with fake_arm(tmp_path) as arm, AzureSession(arm.settings(ca_bundle="")) as session:
        with pytest.raises(CloudUnreachable) as caught:
            await session.request("GET", "/subscriptions/s", "1", retries=False)
        assert "VNODECTL_CA_BUNDLE" in caught.value.hint


@pytest.mark.parametrize("closed", ["arm", "authority"])
async def test_nobody_listening_is_said_soon(
    closed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several askers try again on their own, and the SDK's patience would be theirs times its own."""
    slept: list[float] = []

    async def sleep(_: object, seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("azure.core.pipeline.transport.AioHttpTransport.sleep", sleep)
    async with fake_arm(tmp_path) as arm:
        away = {"arm": "arm_endpoint", "authority": "authority_host"}[closed]
        settings = arm.settings(**{away: "https://127.0.0.1:1"})
        async with AzureSession(settings) as session:
            with pytest.raises(CloudUnreachable):
                await session.arm("GET", "/subscriptions/s", "1")
    assert sum(slept) < 2


@pytest.mark.parametrize("silent", ["arm", "authority"])
async def test_a_wait_for_a_connection_is_not_begun_anew(
    silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that swallows packets: every further try would cost whoever asks the same wait again."""
    waited: list[str] = []

    async def nobody(self: object, *_: object, **__: object) -> object:
        waited.append("once")
        raise aiohttp.ConnectionTimeoutError

    async with fake_arm(tmp_path) as arm, AzureSession(arm.settings()) as session:
        if silent == "arm":
            await session.token("https://management.azure.com/.default")
        monkeypatch.setattr("aiohttp.ClientSession._request", nobody)
        with pytest.raises(CloudUnreachable):
            await session.arm("GET", "/subscriptions/s", "1")
    assert waited == ["once"]


async def test_a_ca_bundle_that_is_none_is_named(tmp_path: Path) -> None:
    bundle = tmp_path / "no.pem"
    bundle.write_text("no certificate")
    with pytest.raises(UsageError, match=r"no\.pem"):
        await AzureSession(AzureSettings(ca_bundle=str(bundle))).__aenter__()


async def test_a_refused_secret_is_an_error_without_the_secret(tmp_path: Path) -> None:
    async with fake_arm(tmp_path) as arm, AzureSession(arm.settings()) as session:
        arm.refuse_tokens = True
        with pytest.raises(AzureUnauthorized) as caught:
            await session.arm("GET", "/subscriptions/s", "1")
        assert caught.value.code == "AADSTS7000215"
        assert SECRET not in caught.value.message
        assert caught.value.exit_code == 5


async def test_the_secret_of_a_file_is_not_shown_either(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("another-planted-marker\n")
    async with fake_arm(tmp_path) as arm:
        settings = arm.settings(client_secret="", client_secret_file=str(file))
        async with AzureSession(settings) as session:
            arm.refuse_tokens = True
            with pytest.raises(AzureUnauthorized) as caught:
                await session.arm("GET", "/subscriptions/s", "1")
            assert arm.tokens[-1]["client_secret"] == "another-planted-marker"
            assert "another-planted-marker" not in caught.value.message


async def test_arm_s_error_is_raised_whole(tmp_path: Path) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"code": "ResourceGroupNotFound", "message": "no rg"}}, status=404)

    async with fake_arm(tmp_path, handle) as arm, AzureSession(arm.settings()) as session:
        with pytest.raises(AzureNotFound, match="ResourceGroupNotFound: no rg"):
            await session.resource_group("rg")


async def test_429_comes_back_at_once_when_asked_and_is_waited_for_else(tmp_path: Path) -> None:
    answers = [429, 429, 200]

    async def handle(request: web.Request) -> web.StreamResponse:
        status = answers.pop(0)
        return web.json_response({"ok": True}, status=status, headers={"retry-after-ms": "1"})

    async with fake_arm(tmp_path, handle) as arm, AzureSession(arm.settings()) as session:
        with pytest.raises(AzureThrottled) as caught:
            await session.request("GET", "/subscriptions/s", "1", retries=False)
        assert caught.value.retry_after == 0.001
        assert await session.arm("GET", "/subscriptions/s", "1") == {"ok": True}
        assert session.meter.throttled == 2
        assert session.meter.reads == 3


async def test_a_long_retry_after_is_not_slept_away(tmp_path: Path) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=429, headers={"Retry-After": "3600"})

    async with fake_arm(tmp_path, handle) as arm, AzureSession(arm.settings()) as session:
        with pytest.raises(AzureThrottled):
            await session.arm("GET", "/subscriptions/s", "1")
        assert len(arm.requests) == 1


async def test_a_missing_registration_is_reported_not_mended(tmp_path: Path) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(
            {
                "error": {
                    "code": "MissingSubscriptionRegistration",
                    "message": "not registered to use namespace 'Microsoft.ContainerInstance'",
                }
            },
            status=409,
        )

    async with fake_arm(tmp_path, handle) as arm, AzureSession(arm.settings()) as session:
        with pytest.raises(AzureConflict) as caught:
            await session.container_groups("rg")
        assert "az provider register" in caught.value.hint
        assert [request.method for request in arm.requests] == ["GET"]


def _paged(pages: dict[str, object]) -> object:
    async def handle(request: web.Request) -> web.StreamResponse:
        page = pages[request.query.get("page", "1")]
        if isinstance(page, int):
            return web.json_response({"error": {"code": "Boom", "message": "x"}}, status=page)
        body = dict(page)  # type: ignore[call-overload]
        if str(body.get("nextLink", "")).startswith("?"):
            body["nextLink"] = f"{request.url.origin()}{request.path}{body['nextLink']}"
        return web.json_response(body)

    return handle


async def test_every_page_of_a_list_is_read(tmp_path: Path) -> None:
    pages = {
        "1": {"value": [{"name": "eastus"}], "nextLink": "?page=2"},
        "2": {"value": [], "nextLink": "?page=3"},
        "3": {"value": [{"name": "chinaeast2"}]},
    }
    async with fake_arm(tmp_path, _paged(pages)) as arm, AzureSession(arm.settings()) as session:  # type: ignore[arg-type]
        assert await session.locations() == ["chinaeast2", "eastus"]


async def test_a_lost_page_loses_the_list(tmp_path: Path) -> None:
    pages = {"1": {"value": [{"name": "a"}], "nextLink": "?page=2"}, "2": 400}
    async with fake_arm(tmp_path, _paged(pages)) as arm, AzureSession(arm.settings()) as session:  # type: ignore[arg-type]
        with pytest.raises(AzureError, match="Boom"):
            await session.container_groups("rg")


async def test_a_list_is_not_followed_to_another_host(tmp_path: Path) -> None:
    pages = {"1": {"value": [], "nextLink": "https://elsewhere.example/?page=2"}}
    async with fake_arm(tmp_path, _paged(pages)) as arm, AzureSession(arm.settings()) as session:  # type: ignore[arg-type]
        with pytest.raises(AzureError, match="ForeignNextLink"):
            await session.container_groups("rg")
        with pytest.raises(AzureError, match="ForeignOperationLink"):
            await session.follow("https://elsewhere.example/op")


async def test_what_does_not_speak_json_is_not_arm(tmp_path: Path) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>a captive portal</html>", content_type="text/html")

    async with fake_arm(tmp_path, handle) as arm, AzureSession(arm.settings()) as session:
        with pytest.raises(CloudUnreachable):
            await session.arm("GET", "/subscriptions/s", "1")


async def test_nobody_listening_is_unreachable(tmp_path: Path) -> None:
    async with fake_arm(tmp_path) as arm:
        settings = arm.settings()
    async with AzureSession(settings) as session:
        with pytest.raises(CloudUnreachable):
            await session.request("GET", "/subscriptions/s", "1", retries=False)


async def _aks(arm: FakeArm) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response({"name": "aks", "path": request.path})
        verb = request.path.rpartition("/")[2]
        value = base64.b64encode(f"kubeconfig of {verb}".encode()).decode()
        return web.json_response({"kubeconfigs": [{"name": "x", "value": value}]})

    arm.handle = handle


async def test_clusters_and_their_kubeconfigs(tmp_path: Path) -> None:
    async with fake_arm(tmp_path) as arm, AzureSession(arm.settings()) as session:
        await _aks(arm)
        cluster = await session.aks_cluster("my rg", "aks")
        assert cluster["path"] == (
            f"/subscriptions/{SUBSCRIPTION}/resourceGroups/my rg"
            "/providers/Microsoft.ContainerService/managedClusters/aks"
        )
        assert await session.aks_kubeconfig("rg", "aks") == b"kubeconfig of listClusterUserCredential"
        admin = await session.aks_kubeconfig("rg", "aks", admin=True)
        assert admin == b"kubeconfig of listClusterAdminCredential"


async def test_registration_of_a_provider(tmp_path: Path) -> None:
    state = {"registrationState": "NotRegistered"}

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            state["registrationState"] = "Registering"
        return web.json_response(state)

    async with fake_arm(tmp_path, handle) as arm, AzureSession(arm.settings()) as session:
        assert await session.provider_state("Microsoft.ContainerInstance") == "NotRegistered"
        await session.register_provider("Microsoft.ContainerInstance")
        assert await session.provider_state("Microsoft.ContainerInstance") == "Registering"


async def test_without_a_subscription_the_user_is_told_how_to_choose_one(tmp_path: Path) -> None:
    async with fake_arm(tmp_path) as arm, AzureSession(arm.settings(subscription_id="")) as session:
        with pytest.raises(UsageError) as caught:
            await session.locations()
        assert "az account set" in caught.value.hint


async def test_the_typed_clients_share_identity_and_pool(tmp_path: Path) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"name": request.path.rpartition("/")[2], "location": "eastus", "properties": {}}
        )

    async with fake_arm(tmp_path, handle) as arm, AzureSession(arm.settings()) as session:
        cluster = await session.container_services().managed_clusters.get("rg", "aks")
        assert cluster.name == "aks"
        assert session.container_instances() is session.container_instances()
        await session.arm("GET", "/subscriptions/s", "1")
        assert len(arm.tokens) <= 2
        assert session.meter.reads == 2
