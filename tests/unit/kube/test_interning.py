"""Equal strings of many objects become one."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from vnodectl.kube import interning
from vnodectl.kube.interning import Interner

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=20), inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text(max_size=20), VALUES, max_size=4)


@given(st.lists(OBJECTS, max_size=3))
def test_nothing_changes(objects):
    interner = Interner()
    assert [interner.intern(one) for one in objects] == objects


@given(OBJECTS, OBJECTS)
def test_nothing_changes_because_of_what_was_before(before, value):
    interner = Interner()
    assert interner.intern(value, interner.intern(before)) == value


def test_what_says_the_same_as_before_is_the_same():
    interner = Interner()
    pod = {"metadata": {"name": "web", "labels": {"app": "web"}}, "spec": {"containers": [{"name": "c"}]}}
    before = interner.intern({**pod, "status": {"phase": "Pending"}})
    after = interner.intern(json.loads(json.dumps({**pod, "status": {"phase": "Running"}})), before)
    assert after == {**pod, "status": {"phase": "Running"}}
    assert before["status"] == {"phase": "Pending"}
    assert after["spec"] is before["spec"]
    assert after["metadata"] is before["metadata"]
    changed = {**pod, "metadata": {**pod["metadata"], "name": "other"}}
    assert interner.intern(changed, before)["metadata"]["labels"] is before["metadata"]["labels"]


def test_keys_and_words_of_two_documents_are_the_same():
    text = json.dumps({"status": {"conditions": [{"type": "Ready", "status": "True"}], "names": ["web"]}})
    interner = Interner()
    one, two = (interner.intern(json.loads(text)) for _ in range(2))
    assert one is not two
    for first, second in zip(_strings(one), _strings(two), strict=True):
        assert first is second


def _strings(value):
    if isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
    else:
        yield value


def test_what_occurs_once_does_not_pile_up(monkeypatch):
    monkeypatch.setattr(interning, "_REMEMBERED", 10)
    interner = Interner()
    for number in range(100):
        interner.intern({"name": f"pod-{number}", "uid": f"uid-{number}"})
    assert len(interner._known) < 20


def test_long_texts_are_not_remembered():
    interner = Interner()
    interner.intern({"data": "x" * 1000})
    assert set(interner._known) == {"data"}
