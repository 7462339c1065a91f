"""What a sandbox is to consist of: decided by `up`, carried out by the supervisor."""

from __future__ import annotations

import dataclasses
import json
import secrets
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from vnodectl.sandbox.pki import write_private

NODE = "sandbox"
AZURE = "azure"
ALIBABA = "alibaba"
BOTH_CLOUDS = "both"
NO_CLOUD = "none"
CLOUDS = (AZURE, ALIBABA, BOTH_CLOUDS, NO_CLOUD)
DEMO_REGION = "eastus"
DEMO_CLUSTER_GROUP = "demo-aks"
DEMO_CLUSTER = "demo"
DEMO_ACI_GROUP = "demo-aci"
DEMO_ALIBABA_REGION = "cn-hangzhou"
DEMO_CLUSTER_ID = "demo"
DEMO_VSWITCHES = ("vsw-demo-h", "vsw-demo-i")
DEMO_SECURITY_GROUP = "sg-demo"
DEMO_ROLE = "vnodectl-demo"


@dataclass(frozen=True, slots=True)
class Identity:
    """The emulated subscription's one service principal, another one in each sandbox."""

    subscription: str
    tenant: str
    client: str
    secret: str = field(repr=False)

    @staticmethod
    def fresh() -> Identity:
        subscription, tenant, client = (str(uuid.uuid4()) for _ in range(3))
        return Identity(subscription, tenant, client, secrets.token_urlsafe(30))


@dataclass(frozen=True, slots=True)
class AccessKey:
    """Of the emulated account's one RAM user, another one in each sandbox."""

    id: str
    secret: str = field(repr=False)

    @staticmethod
    def fresh() -> AccessKey:
        return AccessKey(f"LTAI5t{secrets.token_hex(9)}", secrets.token_urlsafe(24))


@dataclass(frozen=True, slots=True)
class Plan:
    """`run` marks every process. `control_plane` is the directory of its programs; None: the cluster of
    the kubeconfig that lies in the sandbox's directory already. `engine` runs containers, with `bridge`
    in a network of their own or, where one is named, in `network`, which is not ours to remove; "" where
    neither nodes nor a cloud are wanted. `api_server` is what pods call, where that differs from the
    kubeconfig's. `metrics_server` is its program, "" for none. Images are references in the engine's own
    storage, "" for none.
    """

    run: str
    identity: Identity
    access_key: AccessKey
    control_plane: str | None
    engine: str = ""
    bridge: bool = False
    network: str = ""
    api_server: str = ""
    nodes: int = 1
    cloud: str = BOTH_CLOUDS
    metrics_server: str = ""
    connector_image: str = ""
    smoke_image: str = ""

    def save(self, path: Path) -> None:
        write_private(path, json.dumps(dataclasses.asdict(self)).encode())

    @staticmethod
    def load(path: Path) -> Plan:
        content = json.loads(path.read_text())
        identity, key = Identity(**content["identity"]), AccessKey(**content["access_key"])
        return Plan(**{**content, "identity": identity, "access_key": key})

    @property
    def node_names(self) -> tuple[str, ...]:
        """sandbox, sandbox-2, …"""
        return tuple(NODE if number == 1 else f"{NODE}-{number}" for number in range(1, self.nodes + 1))

    @property
    def clouds(self) -> tuple[str, ...]:
        """Those that are emulated."""
        if self.cloud == BOTH_CLOUDS:
            return (AZURE, ALIBABA)
        return () if self.cloud == NO_CLOUD else (self.cloud,)

    def scopes(self, scope: str) -> tuple[str, ...]:
        """The engine scopes of everything that runs containers, by the sandbox's own scope."""
        return (
            *(f"{scope}-{name}" for name in self.node_names),
            *(f"{scope}-{cloud}" for cloud in self.clouds),
        )
