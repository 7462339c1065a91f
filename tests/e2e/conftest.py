"""Real clusters for tests: made once per session, with programs that are built once per machine.

`VNODECTL_SANDBOX_HOME` (else the usual cache) keeps what is built, so that sessions share it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.sandboxes import Sandbox, start, stop

from vnodectl.settings import sandbox_home


@pytest.fixture(scope="session")
def cache() -> Path:
    """Where programs, images and sandboxes are kept."""
    return sandbox_home().absolute()


@pytest.fixture(scope="session")
def kubernetes(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Options of `vnodectl sandbox up`: nothing, or the version that the tests are to run on."""
    version = request.config.getoption("--kubernetes-version")
    return ("--kubernetes-version", version) if version else ()


@pytest.fixture(scope="session")
def control_plane(cache: Path, kubernetes: tuple[str, ...]) -> Iterator[Sandbox]:
    """A control plane alone: no node, no cloud."""
    name = f"test-cp-{os.getpid()}"
    try:
        yield start(cache, name, "--nodes", "0", "--cloud", "none", *kubernetes)
    finally:
        stop(cache, name)


@pytest.fixture(scope="session")
def sandbox(cache: Path, kubernetes: tuple[str, ...]) -> Iterator[Sandbox]:
    """Everything: a control plane, the node `sandbox` and both emulated clouds."""
    name = f"test-{os.getpid()}"
    try:
        yield start(cache, name, *kubernetes)
    finally:
        stop(cache, name)
