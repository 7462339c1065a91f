"""Our certificates work in real TLS handshakes, and only where they should."""

from __future__ import annotations

import asyncio
import ssl
import stat
from pathlib import Path

import pytest
import yaml

from vnodectl.errors import UsageError
from vnodectl.sandbox import kubeconfig
from vnodectl.sandbox.components import make_certificates
from vnodectl.sandbox.pki import Authority, Pair


async def _handshake(server: Pair, trusted: Path, *, client: Pair | None, hostname: str) -> dict[str, object]:
    """The client certificate as the server sees it."""
    listening = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listening.load_cert_chain(server.certificate, server.key)
    listening.load_verify_locations(trusted)
    listening.verify_mode = ssl.CERT_OPTIONAL
    seen: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.set_result(writer.get_extra_info("peercert") or {})
        await reader.read()
        writer.close()

    calling = ssl.create_default_context(cafile=str(trusted))
    if client is not None:
        calling.load_cert_chain(client.certificate, client.key)
    async with await asyncio.start_server(accept, "127.0.0.1", 0, ssl=listening) as listener:
        port = listener.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=calling, server_hostname=hostname)
        result = await asyncio.wait_for(seen, 10)
        writer.close()
        await writer.wait_closed()
    return result


async def test_names_and_addresses_are_verified(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    server = authority.server("server", ["127.0.0.1", "api.example"])
    await _handshake(server, authority.pair.certificate, client=None, hostname="127.0.0.1")
    await _handshake(server, authority.pair.certificate, client=None, hostname="api.example")


async def test_user_and_groups_are_in_the_subject(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    server = authority.server("server", ["127.0.0.1"])
    client = authority.client("client", "me", ["system:masters"])
    seen = await _handshake(server, authority.pair.certificate, client=client, hostname="127.0.0.1")
    assert seen["subject"] == ((("organizationName", "system:masters"),), (("commonName", "me"),))


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path, "127.0.0.1")
    keys = list(tmp_path.glob("*.key"))
    assert certificates.service_accounts in keys
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_a_written_kubeconfig_is_whole_and_private(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    path = tmp_path / "kubeconfig"
    kubeconfig.write(
        path,
        name="me",
        server="https://h:1",
        authority=authority.pair.certificate,
        client=authority.client("c", "me"),
    )
    content = yaml.safe_load(path.read_text())
    assert content["clusters"][0]["cluster"]["server"] == "https://h:1"
    assert set(content["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def _foreign(folder: Path) -> Path:
    (folder / "ca.crt").write_text("CA")
    content = {
        "current-context": "one",
        "clusters": [
            {"name": "c1", "cluster": {"server": "https://one", "certificate-authority": "ca.crt"}},
            {"name": "c2", "cluster": {"server": "https://two"}},
        ],
        "users": [{"name": "u", "user": {"token": "t", "tokenFile": "token"}}],
        "contexts": [
            {"name": "one", "context": {"cluster": "c1", "user": "u", "namespace": "n"}},
            {"name": "two", "context": {"cluster": "c2", "user": "u"}},
        ],
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(content))
    return path


def test_copying_the_current_context_takes_files_in(tmp_path: Path) -> None:
    target = tmp_path / "copy"
    assert kubeconfig.copy_context(_foreign(tmp_path), None, target) == "https://one"
    content = yaml.safe_load(target.read_text())
    assert content["clusters"][0]["cluster"]["certificate-authority-data"] == "Q0E="
    assert content["contexts"][0]["context"]["namespace"] == "n"
    assert content["users"][0]["user"]["tokenFile"] == str(tmp_path / "token")


def test_copying_another_context(tmp_path: Path) -> None:
    assert kubeconfig.copy_context(_foreign(tmp_path), "two", tmp_path / "copy") == "https://two"


@pytest.mark.parametrize("context", ["three", ""])
def test_a_context_that_is_not_there(tmp_path: Path, context: str) -> None:
    source = _foreign(tmp_path)
    if not context:
        source.write_text("- not\n- a kubeconfig\n")
    with pytest.raises(UsageError, match=str(source)):
        kubeconfig.copy_context(source, context or None, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
