"""Rules that hold for every test: nothing is left running, nothing reaches the user's own files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import settings

# How long an example takes says more of the machine than of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kubernetes-version", default="", help="of the clusters of end-to-end tests; see make test-compat"
    )


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the kubeconfig or the cloud credentials of whoever runs it."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    import os

    for name in list(os.environ):
        if name.startswith(("AZURE_", "ALIBABA_", "VNODECTL_")) and name != "VNODECTL_SANDBOX_HOME":
            monkeypatch.delenv(name)


@pytest_asyncio.fixture(autouse=True)
async def _no_leaked_tasks() -> AsyncIterator[None]:
    """A task that outlives its test is a bug of the code under test."""
    before = asyncio.all_tasks()
    yield
    leaked = [task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()]
    for task in leaked:
        task.cancel()
    await asyncio.gather(*leaked, return_exceptions=True)
    assert not leaked, f"tasks still running: {[task.get_name() for task in leaked]}"


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parent.parent
