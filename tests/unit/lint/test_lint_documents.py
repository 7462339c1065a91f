from __future__ import annotations

import json

import pytest

from vnodectl.lint.documents import Source, Unreadable, read
from vnodectl.lint.paths import deepest, look, parse, pointer, spread, text

MANIFESTS = """\
# Source: web/templates/a.yaml
apiVersion: v1
kind: Pod
metadata:
  name: a
spec:
  containers:
    - name: main
      resources:
        limits: {cpu: 1.10, memory: 1e3}
---
---
# nothing but a comment
---
apiVersion: v1
kind: ConfigMap
metadata: {name: b}
"""


def lines(source: Source, *paths: str) -> list[int]:
    return [source.line(parse(path)) for path in paths]


def test_every_document_of_a_stream_with_the_line_of_every_value() -> None:
    pod, config_map = read(MANIFESTS, "a.yaml")
    assert lines(pod, "", "kind", "spec.containers", "spec.containers[0].resources.limits.cpu") == [
        2,
        3,
        7,
        10,
    ]
    assert config_map.body["kind"] == "ConfigMap"
    assert lines(config_map, "metadata.name") == [17]


def test_what_is_not_there_has_the_line_of_what_would_hold_it() -> None:
    pod, _ = read(MANIFESTS, "a.yaml")
    assert lines(pod, "spec.containers[0].livenessProbe.grpc", "spec.nowhere", "status") == [8, 6, 2]


def test_scalars_are_what_the_api_server_would_get() -> None:
    (source,) = read(
        "{a: 1.10, b: 0755, c: 2020-01-01, d: yes, e: '1', f: 1e3, g: ~, h: 0x10, i: 0o17, j: 1_000, k: 1:30,"
        " l: .inf, m: -0}",
        "a.yaml",
    )
    body = source.body
    assert str(body["a"]) == "1.10"
    assert body["a"] == pytest.approx(1.1)
    assert [body[key] for key in "bcdefgh"] == [493, "2020-01-01", True, "1", "1e3", None, 16]
    assert [body[key] for key in "ijkm"] == ["0o17", 1000, "1:30", 0]


def test_anchors_aliases_and_merge_keys() -> None:
    (source,) = read(
        """\
base: &base
  image: nginx
  tty: true
one:
  <<: *base
  tty: false
two: [*base, {<<: [{a: 1}, {a: 2, b: 3}], b: 4}]
""",
        "a.yaml",
    )
    assert source.body["one"] == {"image": "nginx", "tty": False}
    assert source.body["two"] == [{"image": "nginx", "tty": True}, {"a": 1, "b": 4}]
    # Where it is written, not where it is used.
    assert lines(source, "one.image", "one.tty", "two[0].tty") == [2, 6, 3]


def test_objects_of_lists_one_by_one() -> None:
    pods = [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}, "spec": {"x": 1}}]
    nested = {"kind": "List", "apiVersion": "v1", "items": [{"kind": "Service", "apiVersion": "v1"}]}
    document = {"kind": "PodList", "apiVersion": "v1", "items": [*pods, nested]}
    found = read(json.dumps(document, indent=1), "a.json")
    assert [one.body["kind"] for one in found] == ["Pod", "Pod", "Service"]
    assert found[1].body["apiVersion"] == "v1"
    assert found[1].line(("spec", "x")) > found[1].line(()) > found[0].line(())


def test_json_with_tabs_pairs_of_surrogates_and_slashes() -> None:
    (source,) = read('{\n\t"kind": "Pod",\n\t"a": "\\ud83d\\ude00 \\/ \\u00e9"\n}\n', "a.json")
    assert source.body["a"] == "😀 / é"
    assert lines(source, "kind", "a") == [2, 3]


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ("a: 1\nb: [1\n", 3),
        ("a: 1\n b: 2\n", 2),
        ("a: *nowhere\n", 1),
        ("{{ .Values.x }}\n", 1),
        ("a: &a\n  b: *a\n", 1),
        ("[1, 2]: 3\n", 1),
        ("a:\n\t- b\n", 2),
        ("a: 1\n<<: 3\n", 2),
    ],
)
def test_what_is_not_yaml_is_told_with_its_line(broken: str, line: int) -> None:
    with pytest.raises(Unreadable) as caught:
        read(broken, "a.yaml")
    assert caught.value.line == line
    assert caught.value.message


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    with pytest.raises(Unreadable, match="too many values"):
        read(bomb, "a.yaml")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(Unreadable):
        read("[" * 5_000 + "]" * 5_000, "a.json")


def test_documents_that_are_no_objects_are_left_alone() -> None:
    assert read("just text\n---\n- a\n---\n3\n", "a.yaml") == []


def test_paths() -> None:
    steps = ("metadata", "annotations", "example.com/a", 0, "b-c")
    assert text(steps) == "metadata.annotations[example.com/a][0].b-c"
    assert parse(text(steps)) == steps
    assert pointer(("a/b", "c~d", 3)) == "/a~1b/c~0d/3"
    value = {"a": [{"b": 1}, {"b": 2}]}
    assert look(value, ("a", 1, "b")) == 2
    assert look(value, ("a", 7, "b")) is None
    assert deepest(value, ("a", 1, "c", "d")) == ("a", 1)
    assert list(spread(value, ("a", "*", "b"))) == [("a", 0, "b"), ("a", 1, "b")]
    with pytest.raises(ValueError, match="not a path"):
        parse("a..b")
