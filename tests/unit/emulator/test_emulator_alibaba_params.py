"""Parameters of the RPC style, read as a tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vnodectl.emulator.alibaba.errors import ApiError
from vnodectl.emulator.alibaba.params import Params, nested


def test_names_with_numbers_are_lists_and_others_objects() -> None:
    flat = {
        "RegionId": "r",
        "Container.1.Name": "one",
        "Container.1.Command.1": "sh",
        "Container.1.Command.2": "-c",
        "Container.1.LivenessProbe.HttpGet.Port": "80",
        "Container.10.Name": "ten",
        "Container.2.Name": "two",
    }
    assert nested(flat) == {
        "RegionId": "r",
        "Container": [
            {"Name": "one", "Command": ["sh", "-c"], "LivenessProbe": {"HttpGet": {"Port": "80"}}},
            {"Name": "two"},
            {"Name": "ten"},
        ],
    }


def test_a_branch_wins_over_a_leaf_of_the_same_name() -> None:
    for flat in ({"A": "x", "A.B": "y"}, {"A.B": "y", "A": "x"}):
        assert nested(flat) == {"A": {"B": "y"}}


def test_values_are_read_by_their_kind() -> None:
    params = Params(
        nested({"T": "True", "F": "false", "N": "1.5", "I": "7", "L.1": "a", "O.1.Name": "x", "E": ""})
    )
    assert (params.flag("T"), params.flag("F", True), params.flag("E", True)) == (True, False, True)
    assert (params.number("N"), params.integer("I"), params.integer("E", 3)) == (1.5, 7, 3)
    assert params.texts("L") == ["a"]
    assert [one.text("Name") for one in params.items("O")] == ["x"]
    assert params.items("O")[0].at("Name") == "O.1.Name"
    assert (params.has("E"), params.text("none", "default")) == (False, "default")
    assert params.child("none").tree == {}


@pytest.mark.parametrize(
    ("read", "code"),
    [
        (lambda params: params.required("none"), "MissingParameter"),
        (lambda params: params.flag("text"), "InvalidParameter"),
        (lambda params: params.number("text"), "InvalidParameter"),
        (lambda params: params.integer("half"), "InvalidParameter"),
        (lambda params: params.integer("half", least=2), "InvalidParameter"),
        (lambda params: params.number("half", most=0.1), "InvalidParameter"),
        (lambda params: params.choice("text", ("a",), "a"), "InvalidParameter"),
        (lambda params: params.text("list"), "InvalidParameter"),
        (lambda params: params.texts("text"), "InvalidParameter"),
        (lambda params: params.items("list"), "InvalidParameter"),
        (lambda params: params.child("text"), "InvalidParameter"),
        (lambda params: params.json_texts("text", 2), "InvalidParameter"),
        (lambda params: params.json_texts("json", 1), "InvalidParameter"),
    ],
)
def test_what_cannot_be_read(read: Callable[[Params], Any], code: str) -> None:
    params = Params({"text": "x", "half": "0.5", "list": ["a"], "json": '["a", "b"]'})
    with pytest.raises(ApiError) as caught:
        read(params)
    assert caught.value.code == code
