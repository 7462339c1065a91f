"""The pool that a cloud's SDK shares."""

from __future__ import annotations

import ssl

import pytest

from vnodectl.clouds.http import http_session


@pytest.mark.parametrize(("variable", "asked"), [("", False), ("HTTPS_PROXY", True), ("https_proxy", True)])
async def test_proxies_are_looked_for_only_where_there_are_any(
    variable: str, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    if variable:
        monkeypatch.setenv(variable, "http://proxy.example:3128")
    async with http_session(ssl.create_default_context()) as session:
        assert session.trust_env is asked
