from __future__ import annotations

import json
from typing import Any

import pytest
from support.fake_timer import FakeTimer

from vnodectl.clouds.alibaba import AlibabaError, AlibabaForbidden, AlibabaNotFound, AlibabaThrottled
from vnodectl.clouds.alibaba.tags import Owner
from vnodectl.providers.eci.groups import Groups
from vnodectl.providers.eci.limits import PER_MINUTE, ApiLimits

OURS = [{"Key": "vnodectl-node", "Value": "node"}, {"Key": "vnodectl-connector", "Value": "conn"}]


class FakeSession:
    """Answers each call with what the test has for its action."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.hidden: list[tuple[str, ...]] = []

    async def call(
        self, product: str, action: str, version: str, params: dict[str, Any], *, retries: bool, hide: Any
    ) -> dict[str, Any]:
        assert (product, version, retries) == ("eci", "2018-08-08", False)
        self.calls.append((action, dict(params)))
        self.hidden.append(tuple(hide))
        answer = self.answers.get(action, {})
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)


def _groups(**answers: Any) -> tuple[Groups, FakeSession, FakeTimer]:
    session, timer = FakeSession(**answers), FakeTimer()
    groups = Groups(session, Owner("node", "conn"), ApiLimits(timer))  # type: ignore[arg-type]
    return groups, session, timer


async def test_rows_are_read_page_by_page_and_folded() -> None:
    groups, session, _ = _groups(
        DescribeContainerGroupStatus=[
            {"Data": [{"ContainerGroupId": "a"}], "NextToken": "t"},
            {"Data": [{"ContainerGroupId": "b"}], "NextToken": ""},
        ]
    )
    assert await groups.rows() == [{"containergroupid": "a"}, {"containergroupid": "b"}]
    assert session.calls == [
        ("DescribeContainerGroupStatus", {"Tag": OURS, "Limit": 200}),
        ("DescribeContainerGroupStatus", {"Tag": OURS, "Limit": 200, "NextToken": "t"}),
    ]


async def test_a_page_that_fails_fails_the_list() -> None:
    groups, _, _ = _groups(
        DescribeContainerGroupStatus=[
            {"Data": [{"ContainerGroupId": "a"}], "NextToken": "t"},
            AlibabaError(500, "InternalError", "no"),
        ]
    )
    with pytest.raises(AlibabaError, match="InternalError"):
        await groups.rows()


async def test_what_changed_and_whose_rows() -> None:
    groups, session, _ = _groups()
    assert await groups.changed(75) == []
    await groups.rows_of_pod("uid-1")
    assert session.calls[0][1]["SinceSecond"] == 75
    assert session.calls[1][1]["Tag"] == [*OURS, {"Key": "vnodectl-uid", "Value": "uid-1"}]


async def test_ids_are_asked_for_twenty_at_a_time() -> None:
    groups, session, _ = _groups()
    ids = [f"eci-{n}" for n in range(45)]
    await groups.rows_of(ids)
    await groups.describe(ids)
    await groups.metrics(ids)
    sizes = [len(json.loads(params["ContainerGroupIds"])) for _, params in session.calls]
    assert sizes == [20, 20, 5] * 3
    assert session.calls[3][1]["WithEvent"] is True
    session.calls.clear()
    assert await groups.describe([]) == []
    assert session.calls == []


async def test_create_and_delete() -> None:
    groups, session, _ = _groups(CreateContainerGroup=[{"ContainerGroupId": "eci-1"}, {}])
    assert await groups.create({"A": 1}, ["planted"]) == "eci-1"
    assert session.hidden == [("planted",)]
    with pytest.raises(AlibabaError, match="NoContainerGroupId"):
        await groups.create({}, [])
    await groups.delete("eci-1", force=False)
    await groups.delete("eci-1", force=True)
    assert session.calls[-2:] == [
        ("DeleteContainerGroup", {"ContainerGroupId": "eci-1"}),
        ("DeleteContainerGroup", {"ContainerGroupId": "eci-1", "Force": True}),
    ]


async def test_writes_beyond_the_limit_are_sent_back_at_once_with_their_turn() -> None:
    groups, session, timer = _groups(CreateContainerGroup={"ContainerGroupId": "eci-1"})
    for _ in range(900):
        await groups.create({}, [])
    with pytest.raises(AlibabaThrottled) as caught:
        await groups.create({}, [])
    assert caught.value.retry_after == pytest.approx(60 / 1000)
    assert len(session.calls) == 900
    await groups.delete("eci-1", force=True)
    await groups.exec("eci-1", "main", ["ls"], tty=False, stdin=False)
    timer.time += caught.value.retry_after or 0
    await groups.create({}, [])
    with pytest.raises(AlibabaThrottled):
        await groups.create({}, [])


async def test_a_minute_s_worth_passes_in_a_minute() -> None:
    groups, session, timer = _groups(CreateContainerGroup={"ContainerGroupId": "eci-1"})
    done = 0
    for _ in range(60):
        while True:
            try:
                await groups.create({}, [])
            except AlibabaThrottled:
                break
            done += 1
        timer.time += 1
    assert PER_MINUTE["CreateContainerGroup"] <= done <= 2 * PER_MINUTE["CreateContainerGroup"]
    assert len(session.calls) == done


@pytest.mark.parametrize(
    "answer",
    [
        {},
        AlibabaNotFound(404, "InvalidParameter.NotFound", "no"),
        AlibabaForbidden(403, "Forbidden.Unauthorized", "not yours"),
    ],
)
async def test_an_identity_that_may_read_is_told_so(answer: Any) -> None:
    groups, _, _ = _groups(DescribeContainerLog=answer)
    await groups.check_right_to_read("eci-1")


@pytest.mark.parametrize(
    "answer",
    [
        AlibabaForbidden(403, "Forbidden.RAM", "no"),
        AlibabaThrottled(400, "Throttling.User", "slow"),
        AlibabaError(500, "InternalError", "no"),
    ],
)
async def test_no_answer_about_a_right_is_no_right(answer: AlibabaError) -> None:
    groups, _, _ = _groups(DescribeContainerLog=answer)
    with pytest.raises(type(answer)):
        await groups.check_right_to_read("eci-1")


async def test_logs_and_exec() -> None:
    groups, session, _ = _groups(
        DescribeContainerLog={"Content": "text"}, ExecContainerCommand={"WebSocketUri": "wss://x"}
    )
    assert await groups.logs("eci-1", "main", tail=5000, previous=True) == "text"
    assert session.calls[0][1] == {
        "ContainerGroupId": "eci-1",
        "ContainerName": "main",
        "Tail": 2000,
        "LimitBytes": 1_048_576,
        "Timestamps": True,
        "LastTime": True,
    }
    assert await groups.exec("eci-1", "main", ["a", "b c"], tty=True, stdin=True) == "wss://x"
    assert session.calls[1][1]["Command"] == '["a", "b c"]'
