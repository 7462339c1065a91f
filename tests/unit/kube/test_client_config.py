"""Opening a client: which file, which context, and errors that never quote the file."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from support.fake_api import serve, status

from vnodectl.errors import ClusterUnreachable, UsageError
from vnodectl.kube.config import connect

SECRET = "s3cr3t-marker"


def kubeconfig(path: Path, *, server: str = "http://127.0.0.1:1", user: dict | None = None, **more) -> str:
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user if user is not None else {"token": SECRET}}],
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u"}},
            {"name": "two", "context": {"cluster": "c", "user": "u", "namespace": "team"}},
        ],
        **more,
    }
    path.write_text(yaml.safe_dump(body))
    return str(path)


def plugin(path: Path, script: str) -> dict:
    path.write_text(f"#!{sys.executable}\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(path)}}


async def test_the_current_context_or_the_one_that_is_named(tmp_path):
    path = kubeconfig(tmp_path / "config")
    async with await connect(path) as kube:
        assert (kube.context, kube.namespace) == ("one", "default")
        assert await kube.headers() == {"Authorization": f"Bearer {SECRET}"}
    async with await connect(path, "two") as kube:
        assert (kube.context, kube.namespace) == ("two", "team")


async def test_kubeconfig_may_name_several_files_and_the_home_directory(tmp_path, monkeypatch):
    home = Path("~").expanduser()
    kubeconfig(home / "mine", server="http://127.0.0.1:7")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/missing:~/mine")
    async with await connect() as kube:
        assert kube.server == "http://127.0.0.1:7"


async def test_no_kubeconfig_at_all():
    with pytest.raises(UsageError, match=r"no kubeconfig at .*/.kube/config") as caught:
        await connect()
    assert "--kubeconfig" in caught.value.hint


async def test_a_context_that_is_not_there(tmp_path):
    path = kubeconfig(tmp_path / "config")
    with pytest.raises(UsageError, match=r"there is no context 'three'$") as caught:
        await connect(path, "three")
    assert SECRET not in caught.value.message


@pytest.mark.parametrize(
    "content",
    [
        "",
        "just text",
        f"users: [{{name: u, user: {{token: {SECRET}\n  bad: : yaml",
        f"token: {SECRET}\n\tcurrent-context: one",
        "- a list",
    ],
)
async def test_a_file_that_is_no_kubeconfig(tmp_path, content):
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        await connect(str(path))
    assert str(path) in caught.value.message
    assert SECRET not in f"{caught.value.message} {caught.value.__cause__}"


async def test_an_incomplete_entry_is_not_quoted(tmp_path):
    """The loader names a place in the file by the whole entry, secrets and all."""
    expired = "e30.eyJleHAiOiAxfQ.e30"
    oidc = {"name": "oidc", "config": {"id-token": expired, "refresh-token": SECRET, "client-id": "x"}}
    path = kubeconfig(tmp_path / "config", user={"auth-provider": oidc})
    with pytest.raises(UsageError, match="client-secret") as caught:
        await connect(path)
    assert SECRET not in f"{caught.value.message} {caught.value.__cause__}"


async def test_a_plug_in_that_fails(tmp_path):
    path = kubeconfig(tmp_path / "config", user=plugin(tmp_path / "login", "raise SystemExit(3)"))
    with pytest.raises(ClusterUnreachable, match=r"plug-in .*/login gave no credentials") as caught:
        await connect(path)
    assert caught.value.exit_code == 5


async def test_a_plug_in_is_asked_again_when_its_token_is_refused(tmp_path):
    count = tmp_path / "count"
    script = f"""
import json, pathlib
count = pathlib.Path({str(count)!r})
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
                   "status": {{"token": f"token-{{number}}"}}}}))"""

    async def handle(request):
        if request.headers["Authorization"] != "Bearer token-2":
            return status(401, "Unauthorized")
        return web.json_response({"gitVersion": "v1.36.3"})

    async with serve(handle) as server:
        path = kubeconfig(
            tmp_path / "config",
            server=str(server.make_url("")).rstrip("/"),
            user=plugin(tmp_path / "login", script),
        )
        async with await connect(path) as kube:
            assert await kube.get("/version") == {"gitVersion": "v1.36.3"}
    assert count.read_text() == "2"


async def test_in_a_pod_without_a_service_account(monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(ClusterUnreachable, match="service account"):
        await connect()
