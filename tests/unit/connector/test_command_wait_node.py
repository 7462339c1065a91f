"""`vnodectl wait-node`: what the chart's test runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from vnodectl.cli.app import run_program


def put_node(kube: Any, name: str, ready: str = "True") -> None:
    kube.put(f"/api/v1/nodes/{name}", status={"conditions": [{"type": "Ready", "status": ready}]})
    kube.put(
        f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}",
        spec={"renewTime": datetime.now(tz=UTC).isoformat()},
    )


def test_every_node_is_told(world: Any, kube: Any, capsys: pytest.CaptureFixture[str]) -> None:
    put_node(kube, "one")
    put_node(kube, "two")
    assert run_program(["wait-node", "one", "two"]) == 0
    assert capsys.readouterr().err == "node one is Ready\nnode two is Ready\n"


def test_one_that_does_not_come_is_code_4(world: Any, kube: Any, capsys: pytest.CaptureFixture[str]) -> None:
    put_node(kube, "one")
    put_node(kube, "two", "False")
    assert run_program(["wait-node", "one", "two", "--timeout", "1"]) == 4
    assert "node two is not Ready" in capsys.readouterr().err
