"""Which Alibaba Cloud identity, which region, which endpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vnodectl.errors import UsageError
from vnodectl.settings import expanded

METADATA_ENDPOINT = "http://100.100.100.200"
"""The metadata service of an ECS instance; link-local, plain HTTP by design."""

_CENTRAL = {"ram": "ram.aliyuncs.com"}
"""Products that exist once; all others answer at `<product>.<region>.aliyuncs.com`."""


@dataclass(frozen=True, slots=True)
class AlibabaSettings:
    """Identity and place of every call. Empty strings mean "not given".

    Credentials, first match wins: `access_key_id` with `secret_file` (read again whenever it changes) or
    `access_key_secret`, and `security_token` where they are temporary; `role_arn` with `oidc_provider_arn`
    and `oidc_token_file` (RRSA: a pod's service account becomes a RAM role); `ecs_role` (the RAM role of
    the ECS instance this runs on).

    `region` as in `cn-hangzhou`. `endpoint` is one `host[:port]` for all products (a private gateway, the
    sandbox), always HTTPS; without it each product has its own, inside a VPC when `vpc_endpoints` is true.
    `ca_bundle` is a PEM file trusted besides the system roots.
    """

    access_key_id: str = ""
    access_key_secret: str = field(default="", repr=False)
    security_token: str = field(default="", repr=False)
    secret_file: str = ""
    role_arn: str = ""
    oidc_provider_arn: str = ""
    oidc_token_file: str = ""
    role_session_name: str = "vnodectl"
    ecs_role: str = ""
    metadata_endpoint: str = METADATA_ENDPOINT
    region: str = ""
    endpoint: str = ""
    vpc_endpoints: bool = False
    ca_bundle: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> AlibabaSettings:
        """From ALIBABA_CLOUD_*, VNODECTL_* and the add-on's ECI_* variables; else from the CLI's profile.

        Raises `UsageError` where the endpoint is not one, or the CLI's profile is of a kind not known here.
        """
        env = os.environ if environ is None else environ
        settings = cls(
            access_key_id=env.get("ALIBABA_CLOUD_ACCESS_KEY_ID") or env.get("ECI_ACCESS_KEY", ""),
            access_key_secret=env.get("ALIBABA_CLOUD_ACCESS_KEY_SECRET") or env.get("ECI_SECRET_KEY", ""),
            security_token=env.get("ALIBABA_CLOUD_SECURITY_TOKEN", ""),
            secret_file=env.get("VNODECTL_ALIBABA_SECRET_FILE", ""),
            role_arn=env.get("ALIBABA_CLOUD_ROLE_ARN", ""),
            oidc_provider_arn=env.get("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", ""),
            oidc_token_file=env.get("ALIBABA_CLOUD_OIDC_TOKEN_FILE", ""),
            role_session_name=env.get("ALIBABA_CLOUD_ROLE_SESSION_NAME") or "vnodectl",
            ecs_role=env.get("ALIBABA_CLOUD_ECS_METADATA", ""),
            region=env.get("ALIBABA_CLOUD_REGION_ID") or env.get("ECI_REGION", ""),
            endpoint=_endpoint(env.get("VNODECTL_ALIBABA_ENDPOINT", "")),
            vpc_endpoints=env.get("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", "").lower() == "true",
            ca_bundle=env.get("VNODECTL_CA_BUNDLE", ""),
        )
        return settings if settings.has_identity else _with_profile(settings, env)

    @property
    def has_identity(self) -> bool:
        return bool(self.access_key_id or self.secret_file or self.oidc_token_file or self.ecs_role)

    def host(self, product: str) -> str:
        """Where `product` (eci, vpc, ecs, sts, cs, ram) answers. Raises `UsageError` without a region."""
        if self.endpoint:
            return self.endpoint
        if product in _CENTRAL:
            return _CENTRAL[product]
        if not self.region:
            raise UsageError("no Alibaba Cloud region is given", hint="set ALIBABA_CLOUD_REGION_ID")
        network = "-vpc" if self.vpc_endpoints else ""
        return f"{product}{network}.{self.region}.aliyuncs.com"


def _endpoint(value: str) -> str:
    """`host[:port]`, with or without `https://` before it."""
    if not value:
        return ""
    parts = urlsplit(value if "://" in value else f"https://{value}")
    try:
        usable = parts.scheme == "https" and bool(parts.hostname) and parts.path.strip("/") == ""
        port = parts.port
    except ValueError:
        usable, port = False, None
    if not usable or parts.username is not None or parts.query:
        raise UsageError(
            f"VNODECTL_ALIBABA_ENDPOINT must be host[:port], reached over https, not {value!r}",
            hint="nothing is ever sent over plain HTTP; trust a private CA with VNODECTL_CA_BUNDLE",
        )
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{port}" if port else str(host)


def _with_profile(settings: AlibabaSettings, env: Mapping[str, str]) -> AlibabaSettings:
    """What `aliyun configure` has stored; unchanged where the CLI was never configured."""
    profile = _profile(env)
    mode = profile.get("mode")
    if not mode:
        return settings
    if not settings.region and isinstance(profile.get("region_id"), str):
        settings = replace(settings, region=profile["region_id"])
    if mode in {"AK", "StsToken"}:
        return replace(
            settings,
            access_key_id=str(profile.get("access_key_id") or ""),
            access_key_secret=str(profile.get("access_key_secret") or ""),
            security_token=str(profile.get("sts_token") or "") if mode == "StsToken" else "",
        )
    if mode == "EcsRamRole":
        return replace(settings, ecs_role=str(profile.get("ram_role_name") or ""))
    raise UsageError(
        f"the Alibaba Cloud CLI's profile {profile.get('name')!r} is of mode {mode}, which only it knows",
        hint="give ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    )


def _profile(env: Mapping[str, str]) -> dict[str, Any]:
    home = Path(env["HOME"]) if env.get("HOME") else expanded("~")
    try:
        stored = json.loads((home / ".aliyun" / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(stored, dict):
        return {}
    wanted = env.get("ALIBABA_CLOUD_PROFILE") or stored.get("current") or "default"
    profiles = stored.get("profiles")
    for profile in profiles if isinstance(profiles, list) else ():
        if isinstance(profile, dict) and profile.get("name") == wanted:
            return profile
    return {}
