"""The local provider as `vnodectl agent` opens it: from VNODECTL_LOCAL_* variables."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from vnodectl.engines.api import EngineError
from vnodectl.engines.select import KINDS
from vnodectl.errors import UsageError, VnodectlError
from vnodectl.providers.local.provider import LocalProvider, create_provider
from vnodectl.settings import cache_home


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """`engine` is one of engines.select.KINDS. `scope` keeps what several nodes of one machine run apart.
    `network` is the bridge that pods get addresses from, or "host"."""

    engine: str
    scope: str
    state_dir: Path
    network: str | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], *, node_name: str) -> LocalSettings:
        """Raises `UsageError` for an engine that does not exist."""
        engine = environ.get("VNODECTL_LOCAL_ENGINE") or "podman"
        if engine not in KINDS:
            raise UsageError(f"VNODECTL_LOCAL_ENGINE is {engine!r}, not one of {', '.join(KINDS)}")
        state = environ.get("VNODECTL_LOCAL_STATE_DIR")
        return cls(
            engine=engine,
            scope=environ.get("VNODECTL_LOCAL_SCOPE") or node_name,
            state_dir=Path(state) if state else cache_home() / "local",
            network=environ.get("VNODECTL_LOCAL_NETWORK") or None,
        )


@asynccontextmanager
async def open_provider(
    settings: LocalSettings, *, node_name: str, capacity: Mapping[str, str]
) -> AsyncIterator[LocalProvider]:
    """The provider on a running engine; pods outlive it. Raises VnodectlError where it cannot start."""
    try:
        provider = await create_provider(
            settings.engine,
            scope=settings.scope,
            state_dir=settings.state_dir,
            network=settings.network,
            node=node_name,
            capacity=capacity,
        )
    except EngineError as error:
        raise VnodectlError(
            f"the {settings.engine} engine cannot be used: {error}",
            hint="install podman or docker, or set VNODECTL_LOCAL_ENGINE=simulated",
        ) from error
    try:
        yield provider
    finally:
        await provider.aclose()
