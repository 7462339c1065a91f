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


def objects(text: str, file: str = "a.yaml") -> list[Source]:
    """Those of a text with which nothing is wrong."""
    contents = read(text, file)
    assert (contents.broken, contents.foreign) == ((), ())
    return list(contents.sources)


def problems(found: tuple[Unreadable, ...]) -> list[tuple[int, str]]:
    return [(one.line, one.message) for one in found]


def lines(source: Source, *paths: str) -> list[int]:
    return [source.line(parse(path)) for path in paths]


def test_every_document_of_a_stream_with_the_line_of_every_value() -> None:
    pod, config_map = objects(MANIFESTS)
    assert lines(pod, "", "kind", "spec.containers", "spec.containers[0].resources.limits.cpu") == [
        2,
        3,
        7,
        10,
    ]
    assert config_map.body["kind"] == "ConfigMap"
    assert lines(config_map, "metadata.name") == [17]


def test_what_is_not_there_has_the_line_of_what_would_hold_it() -> None:
    pod, _ = objects(MANIFESTS)
    assert lines(pod, "spec.containers[0].livenessProbe.grpc", "spec.nowhere", "status") == [8, 6, 2]


def test_scalars_are_what_the_api_server_would_get() -> None:
    (source,) = objects(
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
    (source,) = objects(
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
    found = objects(json.dumps(document, indent=1), "a.json")
    assert [one.body["kind"] for one in found] == ["Pod", "Pod", "Service"]
    assert found[1].body["apiVersion"] == "v1"
    assert found[1].line(("spec", "x")) > found[1].line(()) > found[0].line(())


def test_json_with_tabs_pairs_of_surrogates_and_slashes() -> None:
    (source,) = objects('{\n\t"name": "Pod",\n\t"a": "\\ud83d\\ude00 \\/ \\u00e9"\n}\n', "a.json")
    assert source.body["a"] == "😀 / é"
    assert lines(source, "name", "a") == [2, 3]


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ("a: 1\nb: [1\n", 2),
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
    (problem,) = read(broken, "a.yaml").broken
    assert problem.line == line
    assert problem.message


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    (problem,) = read(bomb, "a.yaml").broken
    assert "too many values" in problem.message


def test_deep_nesting_is_refused() -> None:
    assert len(read("[" * 5_000 + "]" * 5_000, "a.json").broken) == 1
    for level in ("[", "{", '{"a":', "- ", "? "):
        assert len(read(f"a: 1\n---\n{level * 100_000}", "a.yaml").broken) == 1, level
    deep = "{kind: a, apiVersion: b, spec: " + "[" * 900 + "]" * 900 + "}"
    assert problems(read(f"a: 1\n---\n{deep}\n", "a.yaml").broken) == [(2, "is nested too deeply")]


def test_documents_that_are_no_objects_are_told_and_the_others_kept() -> None:
    contents = read("just text\n---\n- a\n---\n3\n---\na: 1\n---\nyes\n---\n~\n", "a.yaml")
    assert problems(contents.foreign) == [
        (1, "the document is text, not an object"),
        (3, "the document is a list, not an object"),
        (5, "the document is a number, not an object"),
        (9, "the document is true or false, not an object"),
    ]
    assert [one.body for one in contents.sources] == [{"a": 1}]
    assert contents.broken == ()


@pytest.mark.parametrize(
    "wrong", ["a: [", "a: *nowhere", "a: 1\n<<: 3", 'a: "open', "a: |\n\t- b\n c: {", "a: \x01"]
)
def test_one_document_with_a_syntax_error_loses_no_other(wrong: str) -> None:
    contents = read(f"{MANIFESTS}--- # wrong\n{wrong}\n---\n{MANIFESTS}", "a.yaml")
    assert [one.body["kind"] for one in contents.sources] == ["Pod", "ConfigMap"] * 2
    count = MANIFESTS.count("\n")
    assert [count < one.line <= count + 2 + wrong.count("\n") + 1 for one in contents.broken] == [True]
    last = contents.sources[-1]
    assert last.line(("kind",)) == MANIFESTS.count("\n") + 1 + wrong.count("\n") + 2 + 16


def test_items_of_a_list_that_are_no_objects() -> None:
    pod = {"kind": "Pod", "apiVersion": "v1"}
    document = {"kind": "List", "apiVersion": "v1", "items": [1, pod, "a", None, {"kind": "Pod"}, {"a": 1}]}
    contents = read(json.dumps(document, indent=0), "a.json")
    assert [message for _, message in problems(contents.foreign)] == [
        "items[0] of the List is a number, not an object",
        "items[2] of the List is text, not an object",
        "items[3] of the List is null, not an object",
        "items[4] of the List has no apiVersion",
        "items[5] of the List has no apiVersion and no kind",
    ]
    assert [line for line, _ in problems(contents.foreign)] == [5, 10, 11, 12, 15]
    assert len(contents.sources) == 3
    contents = read(json.dumps({**document, "items": {"a": 1}}), "a.json")
    assert problems(contents.foreign) == [(1, "items of the List is an object, not a list")]
    # A custom kind may well be called so.
    assert objects(json.dumps({**document, "kind": "AllowList", "items": ["a"]})) == []


@pytest.mark.parametrize(
    ("text", "kubernetes", "foreign"),
    [
        ("kind: Pod\napiVersion: v1\n", True, []),
        ("kind: List\napiVersion: v1\n", True, []),
        ("image: nginx\n", False, []),
        ("kind: Pod\n", False, [(1, "the document has no apiVersion")]),
        ("apiVersion: v1\nkind: [Pod]\n", False, [(1, "the document has no kind")]),
        ("# nothing\n---\n---\n# nothing\n", False, []),
        ("", False, []),
    ],
)
def test_what_is_an_object_of_kubernetes(text: str, kubernetes: bool, foreign: list[tuple[int, str]]) -> None:
    contents = read(text, "a.yaml")
    assert (contents.kubernetes, problems(contents.foreign)) == (kubernetes, foreign)


def test_json_objects_one_after_another() -> None:
    found = objects('{"a": 1}\n{"a":\t2,\n"b": "}{"}\n\n{"a": 3}\n---\n{"a": 4}{"a": 5}\n')
    assert [(one.body["a"], one.line(())) for one in found] == [(1, 1), (2, 2), (3, 5), (4, 7), (5, 7)]
    contents = read('{"a": 1}\n{"a": \n', "a.json")
    assert ([one.body for one in contents.sources], len(contents.broken)) == ([{"a": 1}], 1)


def test_directives_belong_to_the_document_that_follows() -> None:
    found = objects("%YAML 1.1\n---\na: 1\n...\n%YAML 1.1\n%TAG !x! y\n--- # two\nb: 2\n")
    assert [(one.body, one.line(())) for one in found] == [({"a": 1}, 3), ({"b": 2}, 8)]


def test_byte_order_marks_of_files_that_were_put_together() -> None:
    found = objects("\ufeffa: 1\n---\n\ufeffb: 1\n\ufeff---\nc: 1\n")
    assert [one.body for one in found] == [{"a": 1}, {"b": 1}, {"c": 1}]


def test_lines_that_look_like_markers_within_texts() -> None:
    text = "a: |\n  ---\n  b\n-----BEGIN: 1\nc: ---\n---x: 1\n"
    assert objects(text)[0].body == {"a": "---\nb\n", "-----BEGIN": 1, "c": "---", "---x": 1}


def test_of_a_key_that_is_written_twice_the_last_one_counts() -> None:
    (source,) = objects("a: 1\nb: 2\na: 3\n")
    assert (source.body, source.line(("a",))) == ({"a": 3, "b": 2}, 3)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: \x01\n", 2, "U+0001 may not be in YAML"),
        ("é: 1\n---\né: 1\nb: \x7f\n", 4, "U+007F may not be in YAML"),
        ("a: \udcff\n", 1, "is not UTF-8 text"),
    ],
)
def test_characters_that_yaml_does_not_allow(text: str, line: int, message: str) -> None:
    assert problems(read(text, "a.yaml").broken) == [(line, message)]


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
