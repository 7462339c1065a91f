"""`vnodectl emulator serve`: one emulated cloud as a process of its own, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vnodectl.emulator.certificates import ServerCertificate
from vnodectl.emulator.clock import Clock
from vnodectl.emulator.documents import JSON
from vnodectl.engines.api import Engine, EngineError
from vnodectl.errors import UsageError, VnodectlError

log = logging.getLogger(__name__)

CLOUDS = ("azure", "alibaba")
STOP_TIMEOUT = 3.0
"""Seconds of real time for removing the engines' groups; with the sockets the process ends within 5."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """As on the command line. `engine` runs Linux groups; Windows groups are always simulated.

    `scope` is `emulator-<cloud>` where it is empty.
    """

    cloud: str = "azure"
    bind: str = "127.0.0.1"
    port: int = 0
    imds_port: int = 0
    graph_port: int = 0
    metrics_port: int = 0
    proxy_port: int = 0
    control_port: int = 0
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None
    engine: str = "simulated"
    scope: str = ""
    state_dir: Path | None = None
    network: str = ""
    seed: Path | None = None
    ready_file: Path | None = None


class Emulator(Protocol):
    """One emulated cloud: what all of them have in common."""

    def describe(self) -> JSON: ...

    async def __aenter__(self) -> Any: ...

    async def __aexit__(self, *details: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What an emulator is made of besides its seed; the engines have been started."""

    engine: Engine
    windows_engine: Engine
    clock: Clock
    state_dir: Path
    certificate: ServerCertificate | None


Maker = Callable[[Parts], Emulator]


async def serve(options: ServeOptions, announce: Callable[[str], None]) -> None:
    """Until a signal; `announce` gets one line of JSON when everything listens.

    Raises UsageError for wrong options, VnodectlError where the engine or an address cannot be had.
    """
    make = _maker(options)
    certificate = _certificate(options)
    try:
        with _until_signal(), _directory(options.state_dir) as directory:
            clock = Clock()
            async with _engines(options, directory, clock) as (engine, windows):
                emulator = make(Parts(engine, windows, clock, directory, certificate))
                async with emulator:
                    line = json.dumps(emulator.describe() | {"pid": os.getpid()})
                    if options.ready_file:
                        _write_whole(options.ready_file, line + "\n")
                    announce(line)
                    await asyncio.get_running_loop().create_future()
    finally:
        if options.ready_file:
            options.ready_file.unlink(missing_ok=True)


def routes_table(cloud: str) -> str:
    """What is emulated of `cloud`, as Markdown. Raises UsageError."""
    if cloud == "azure":
        from vnodectl.emulator.azure.service import routes_table as azure

        return azure()
    if cloud == "alibaba":
        from vnodectl.emulator.alibaba.service import routes_table as alibaba

        return alibaba()
    raise _no_cloud(cloud)


def _maker(options: ServeOptions) -> Maker:
    """Reads the seed. Raises UsageError."""
    if options.cloud == "azure":
        return _azure(options)
    if options.cloud == "alibaba":
        return _alibaba(options)
    raise _no_cloud(options.cloud)


def _azure(options: ServeOptions) -> Maker:
    from vnodectl.emulator.azure.config import AzureConfig
    from vnodectl.emulator.azure.service import AzureEmulator

    config = AzureConfig.from_file(options.seed) if options.seed else AzureConfig()
    sockets = _sockets(options) | {
        "imds_port": options.imds_port,
        "graph_port": options.graph_port,
        "metrics_port": options.metrics_port,
        "proxy_port": options.proxy_port,
    }

    def make(parts: Parts) -> Emulator:
        return AzureEmulator(config, windows_engine=parts.windows_engine, **_common(parts), **sockets)

    return make


def _alibaba(options: ServeOptions) -> Maker:
    from vnodectl.emulator.alibaba.config import AlibabaConfig
    from vnodectl.emulator.alibaba.seed import config_of_file
    from vnodectl.emulator.alibaba.service import AlibabaEmulator

    azure_only = {
        "--imds-port": options.imds_port,
        "--graph-port": options.graph_port,
        "--metrics-port": options.metrics_port,
        "--proxy-port": options.proxy_port,
    }
    if given := [name for name, value in azure_only.items() if value]:
        raise UsageError(f"{given[0]} is of Azure only: nothing of the kind is emulated of Alibaba Cloud")
    config = config_of_file(options.seed) if options.seed else AlibabaConfig()

    def make(parts: Parts) -> Emulator:
        return AlibabaEmulator(config, **_common(parts), **_sockets(options))

    return make


def _common(parts: Parts) -> dict[str, Any]:
    return {
        "engine": parts.engine,
        "clock": parts.clock,
        "state_dir": parts.state_dir,
        "certificate": parts.certificate,
    }


def _sockets(options: ServeOptions) -> dict[str, Any]:
    return {"bind": options.bind, "port": options.port, "control_port": options.control_port}


def _no_cloud(cloud: str) -> UsageError:
    return UsageError(f"there is no emulated cloud {cloud!r}", hint=f"use --cloud {' or '.join(CLOUDS)}")


@contextlib.contextmanager
def _until_signal() -> Iterator[None]:
    """The first SIGTERM or SIGINT cancels the block, wherever it is; the block then ends without an error."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    signalled = False

    def stop() -> None:
        nonlocal signalled
        if not signalled and task is not None:
            signalled = True
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        yield
    except asyncio.CancelledError:
        if not signalled or task is None:
            raise
        task.uncancel()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _directory(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="vnodectl-emulator-") as made:
        yield Path(made)


@contextlib.asynccontextmanager
async def _engines(
    options: ServeOptions, directory: Path, clock: Clock
) -> AsyncIterator[tuple[Engine, Engine]]:
    """Started engines for Linux and Windows groups; on the way out their groups are removed.

    A simulated engine follows the emulated clock; real containers cannot.
    """
    from vnodectl.engines.select import KINDS, open_engine

    if options.engine not in KINDS:
        raise UsageError(f"there is no engine {options.engine!r}", hint=f"there are {', '.join(KINDS)}")
    scope = options.scope or f"emulator-{options.cloud}"
    engines: list[Engine] = []
    try:
        try:
            windows_scope = f"{scope}-windows"
            engines.append(open_engine("simulated", scope=windows_scope, state_dir=directory, clock=clock))
            if options.engine == "simulated":
                linux = open_engine("simulated", scope=scope, state_dir=directory, clock=clock)
            else:
                network = options.network or None
                linux = open_engine(options.engine, scope=scope, state_dir=directory, network=network)
            engines.append(linux)
            for engine in engines:
                await engine.start()
        except EngineError as error:
            raise VnodectlError(f"the {options.engine} engine cannot be used: {error}") from error
        yield engines[1], engines[0]
    finally:
        await asyncio.gather(*map(_close, engines))


async def _close(engine: Engine) -> None:
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await engine.aclose(remove=True)
    except (TimeoutError, EngineError) as error:
        log.error(  # noqa: TRY400 - the message says it all
            "the %s engine did not remove all of its groups: %s", engine.name, error or "it took too long"
        )


def _certificate(options: ServeOptions) -> ServerCertificate | None:
    if (options.tls_cert is None) != (options.tls_key is None):
        raise UsageError("--tls-cert and --tls-key belong together")
    if options.tls_cert is None or options.tls_key is None:
        return None
    for path in (options.tls_cert, options.tls_key):
        if not path.is_file():
            raise UsageError(f"{path} is not a file")
    return ServerCertificate(options.tls_cert, options.tls_key, options.tls_ca)


def _write_whole(path: Path, text: str) -> None:
    """So that a reader sees all of it or nothing."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.replace(path)
