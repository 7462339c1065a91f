"""What a connector's life asks of Alibaba Cloud, over the socket of an emulated one."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.eci_cloud import READER, READER_SECRET, REGION, EciCloud, alibaba_settings, eci_cloud
from support.eci_pods import CONNECTOR, make_pod

from vnodectl.clouds.ownership import scoped
from vnodectl.connector.clouds.alibaba_account import AlibabaAccount
from vnodectl.connector.names import Connector
from vnodectl.connector.settings import Settings
from vnodectl.errors import UsageError

OIDC = {"name": "ack", "issuer": "https://issuer.example", "jwks": {"keys": []}}
CLUSTER = {
    "id": "c1",
    "region": REGION,
    "vpc": "vpc-1",
    "vswitches": ["vsw-1", "vsw-2"],
    "securityGroup": "sg-1",
    "rrsaProvider": "ack",
}
ADMIN = {
    "users": [
        {
            "name": "connector",
            "policies": ["AdministratorAccess"],
            "accessKeys": [{"id": "LTAI5tConnector", "secret": "planted-secret-of-the-connector"}],
        },
        {
            "name": "reader",
            "policies": [{"name": "nothing", "actions": ["cs:*"]}],
            "accessKeys": [{"id": READER, "secret": READER_SECRET}],
        },
    ],
    "oidcProviders": [OIDC],
}


async def test_a_cluster_by_its_id(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("apiVersion: v1\n")
    seeded = {**ADMIN, "clusters": [{**CLUSTER, "kubeconfig": str(kubeconfig)}]}
    async with (
        eci_cloud(config=seeded, observing=False) as cloud,
        AlibabaAccount(alibaba_settings(cloud.emulator)) as account,
    ):
        settings = Settings(cloud="alibaba", cluster_id="c1")
        described = await account.cluster(settings)
        facts = await account.facts(settings, described)
        assert (facts.cluster_region, facts.vswitches) == (REGION, ("vsw-1", "vsw-2"))
        assert facts.security_group == "sg-1"
        assert facts.oidc_provider.endswith(":oidc-provider/ack")
        assert facts.regions is not None
        assert REGION in facts.regions
        assert account.place(described) == REGION
        assert await account.kubeconfig(settings) == b"apiVersion: v1\n"
        with pytest.raises(UsageError, match="no ACK cluster 'c2'") as caught:
            await account.cluster(Settings(cloud="alibaba", cluster_id="c2"))
        assert "DescribeClustersV1" in caught.value.hint


async def test_who_may_not_list_regions_is_believed() -> None:
    async with eci_cloud(config={**ADMIN, "clusters": [CLUSTER]}, observing=False) as cloud:
        reader = alibaba_settings(cloud.emulator, access_key_id=READER, access_key_secret=READER_SECRET)
        async with AlibabaAccount(reader) as account:
            facts = await account.facts(Settings(cloud="alibaba"), None)
    assert facts.regions is None


def connector(release: str) -> Connector:
    return Connector("eci-connector", "Linux", REGION, cloud="alibaba", release_name=release)


async def made(cloud: EciCloud) -> None:
    """A group of the usual connector, and one of a connector of the same names in another cluster."""
    await cloud.provider.create(make_pod())
    other = cloud.another(connector=scoped(CONNECTOR, "cluster2"))
    try:
        await other.create(make_pod(name="other", uid="0b0b0b0b-0000-0000-0000-000000000000"))
    finally:
        await other.aclose()


async def test_groups_are_told_apart_by_cluster_and_deleted() -> None:
    async with (
        eci_cloud(config=ADMIN, observing=False) as cloud,
        AlibabaAccount(alibaba_settings(cloud.emulator)) as account,
    ):
        await made(cloud)
        (mine,) = await account.groups(REGION, connector(CONNECTOR), "")
        (theirs,) = await account.groups(REGION, connector(CONNECTOR), "cluster2")
        assert {one.name for one in cloud.groups} == {mine.name, theirs.name}
        assert mine.name != theirs.name
        assert await account.groups(REGION, connector("another"), "") == []
        assert await account.groups("cn-shanghai", connector(CONNECTOR), "") == [], "a session of its own"
        await account.delete(mine)
        await account.delete(mine)
        assert await account.groups(REGION, connector(CONNECTOR), "cluster2") == [theirs]


async def test_groups_of_a_connector_that_is_gone_are_found_by_its_usual_release() -> None:
    release = f"eci-connector-linux-{REGION}"
    async with (
        eci_cloud(config=ADMIN, observing=False) as cloud,
        AlibabaAccount(alibaba_settings(cloud.emulator)) as account,
    ):
        lost = cloud.another(connector=scoped(release, "c1"))
        try:
            await lost.create(make_pod())
        finally:
            await lost.aclose()
        where = (REGION, "eci-connector", ("Linux",))
        (found,) = await account.orphans(*where, None, "c1")
        assert found.name == cloud.groups[0].name
        assert await account.orphans(*where, None, "c2") == []
        assert await account.orphans(*where, "cn-shanghai", "c1") == []
