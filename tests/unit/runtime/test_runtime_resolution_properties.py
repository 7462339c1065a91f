"""Environment and volumes against a second reading of the rules, written as differently as they allow.

The rules are the kubelet's: makeEnvironment and its expansion (third_party/forked/golang/expansion), and the
payloads of configMap, secret, downwardAPI and projected volumes.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import given
from hypothesis import strategies as st

from vnodectl.runtime import env, volumes
from vnodectl.runtime.expansion import expand
from vnodectl.runtime.facts import Facts, NodeFacts, TokenRequest, Unresolved
from vnodectl.runtime.provider import Files

JSON = dict[str, Any]
T = TypeVar("T")

NODE = NodeFacts("vn-1", ("10.0.0.7",), {"cpu": "8", "memory": "16Gi"})
NAMES = st.sampled_from(["A", "B", "C", "DB_SERVICE_HOST", "X.Y", "k-1"])
OBJECTS = st.sampled_from(["one", "two", "gone"])
TEXTS = st.text(alphabet="ab$()ABC ", max_size=12)


# --- a second reading ---------------------------------------------------------------------------------


def go_expand(text: str, mapping: dict[str, str]) -> str:
    """One character after the other, as the Go code does it."""
    out, at = "", 0
    while at < len(text):
        if text[at] != "$" or at + 1 == len(text):
            out, at = out + text[at], at + 1
        elif text[at + 1] == "$":
            out, at = out + "$", at + 2
        elif text[at + 1] != "(":
            out, at = out + text[at : at + 2], at + 2
        elif (end := text.find(")", at + 2)) < 0:
            out, at = out + "$(", at + 2
        else:
            name = text[at + 2 : end]
            out, at = out + mapping.get(name, f"$({name})"), end + 1
    return out


def links(services: list[JSON]) -> dict[str, str]:
    found: dict[str, str] = {}
    for service in services:
        ip, ports = service["spec"].get("clusterIP"), service["spec"]["ports"]
        if ip in (None, "", "None"):
            continue
        name = service["metadata"]["name"].upper().replace("-", "_")
        found[f"{name}_SERVICE_HOST"] = ip
        found[f"{name}_SERVICE_PORT"] = str(ports[0]["port"])
        found[f"{name}_PORT"] = f"tcp://{ip}:{ports[0]['port']}"
        for port in ports:
            if "name" in port:
                found[f"{name}_SERVICE_PORT_{port['name'].upper()}"] = str(port["port"])
            stem = f"{name}_PORT_{port['port']}_TCP"
            found[stem] = f"tcp://{ip}:{port['port']}"
            found[f"{stem}_PROTO"] = "tcp"
            found[f"{stem}_PORT"] = str(port["port"])
            found[f"{stem}_ADDR"] = ip
    return found


class Blocked(Exception):
    """The pod has to wait."""


def reference_env(
    container: JSON, maps: JSON, secrets: JSON, services: list[JSON], use: bool
) -> dict[str, str]:
    service_env = links(services) if use else {}
    temporary: dict[str, str] = {}
    for source in container["envFrom"]:
        kind, where = ("secretRef", secrets) if "secretRef" in source else ("configMapRef", maps)
        wanted = source[kind]
        data = where[wanted["name"]]
        if data is None:
            if not wanted["optional"]:
                raise Blocked
            continue
        for key, value in data.items():
            temporary[source.get("prefix", "") + key] = value
    for entry in container["env"]:
        if "value" in entry:
            temporary[entry["name"]] = go_expand(entry["value"], {**service_env, **temporary})
            continue
        ((kind, wanted),) = entry["valueFrom"].items()
        data = (secrets if kind == "secretKeyRef" else maps)[wanted["name"]]
        if data is None or wanted["key"] not in data:
            if not wanted["optional"]:
                raise Blocked
            continue
        temporary[entry["name"]] = data[wanted["key"]]
    return {**service_env, **temporary}


def reference_files(
    volume: JSON, maps: JSON, secrets: JSON, labels: dict[str, str]
) -> dict[str, tuple[bytes, int]]:
    payload: dict[str, tuple[bytes, int]] = {}

    def project(source: JSON, data: dict[str, str] | None, default: int) -> None:
        if data is None:
            if not source.get("optional"):
                raise Blocked
            return
        if not source.get("items"):
            payload.update({key: (value.encode(), default) for key, value in data.items()})
            return
        for item in source["items"]:
            if item["key"] not in data:
                if not source.get("optional"):
                    raise Blocked
                continue
            mode = item["mode"] if item.get("mode") is not None else default
            payload[item["path"]] = (data[item["key"]].encode(), mode)

    ((kind, source),) = ((key, value) for key, value in volume.items() if key != "name")
    mode = source["defaultMode"] if source.get("defaultMode") is not None else 0o644
    for part in source["sources"] if kind == "projected" else [{kind: source}]:
        ((inner, content),) = part.items()
        if inner == "configMap":
            project(content, maps[content["name"]], mode)
        elif inner == "secret":
            project(content, secrets[content.get("secretName") or content["name"]], mode)
        elif inner == "downwardAPI":
            for item in content["items"]:
                field = item["fieldRef"]["fieldPath"]
                text = labels[field[-3]] if field.endswith("']") else "web"
                own = item["mode"] if item.get("mode") is not None else mode
                payload[item["path"]] = (text.encode(), own)
        else:
            payload[content["path"]] = (b"jwt", mode)
    return payload


# --- what is tried ------------------------------------------------------------------------------------

DATA = st.dictionaries(NAMES, TEXTS, max_size=3)


def references(kinds: tuple[str, str]) -> st.SearchStrategy[JSON]:
    return st.one_of(
        *(
            st.fixed_dictionaries(
                {kind: st.fixed_dictionaries({"name": OBJECTS, "key": NAMES, "optional": st.booleans()})}
            )
            for kind in kinds
        )
    )


ENV = st.lists(
    st.one_of(
        st.fixed_dictionaries({"name": NAMES, "value": TEXTS}),
        st.fixed_dictionaries({"name": NAMES, "valueFrom": references(("secretKeyRef", "configMapKeyRef"))}),
    ),
    max_size=6,
)
ENV_FROM = st.lists(
    st.builds(
        lambda kind, name, optional, prefix: {kind: {"name": name, "optional": optional}, "prefix": prefix},
        st.sampled_from(["secretRef", "configMapRef"]),
        OBJECTS,
        st.booleans(),
        st.sampled_from(["", "P_"]),
    ),
    max_size=4,
)
SERVICES = st.lists(
    st.builds(
        lambda name, ip, ports: {"metadata": {"name": name}, "spec": {"clusterIP": ip, "ports": ports}},
        st.sampled_from(["db", "my-web"]),
        st.sampled_from(["10.9.0.1", "10.9.0.2", "None", ""]),
        st.lists(
            st.fixed_dictionaries(
                {"port": st.integers(1, 3)}, optional={"name": st.sampled_from(["a", "b"])}
            ),
            min_size=1,
            max_size=2,
        ),
    ),
    max_size=3,
    unique_by=lambda service: service["metadata"]["name"],
)
MODES = st.sampled_from([None, 0, 0o400, 0o755])
PATHS = st.sampled_from(["p", "q", "d/r"])
ITEMS = st.lists(st.fixed_dictionaries({"key": NAMES, "path": PATHS, "mode": MODES}), max_size=2)
CONFIG_MAP = st.fixed_dictionaries({"name": OBJECTS, "optional": st.booleans(), "items": ITEMS})
SECRET = st.fixed_dictionaries({"name": OBJECTS, "optional": st.booleans(), "items": ITEMS})
DOWNWARD = st.fixed_dictionaries(
    {
        "items": st.lists(
            st.fixed_dictionaries(
                {
                    "path": PATHS,
                    "mode": MODES,
                    "fieldRef": st.sampled_from(
                        [{"fieldPath": "metadata.name"}, {"fieldPath": "metadata.labels['x']"}]
                    ),
                }
            ),
            max_size=2,
        )
    }
)
TOKEN = st.just({"path": "token", "expirationSeconds": 900})
PART = st.one_of(
    CONFIG_MAP.map(lambda one: {"configMap": one}),
    SECRET.map(lambda one: {"secret": one}),
    DOWNWARD.map(lambda one: {"downwardAPI": one}),
    TOKEN.map(lambda one: {"serviceAccountToken": one}),
)
VOLUME = st.one_of(
    st.builds(lambda one, mode: {"configMap": {**one, "defaultMode": mode}}, CONFIG_MAP, MODES),
    st.builds(
        lambda one, mode: {"secret": {**one, "secretName": one["name"], "defaultMode": mode}}, SECRET, MODES
    ),
    st.builds(lambda one, mode: {"downwardAPI": {**one, "defaultMode": mode}}, DOWNWARD, MODES),
    st.builds(
        lambda parts, mode: {"projected": {"sources": parts, "defaultMode": mode}},
        st.lists(PART, max_size=4),
        MODES,
    ),
)


def facts(maps: JSON, secrets: JSON, services: list[JSON]) -> Facts:
    def encoded(data: dict[str, str] | None) -> JSON | None:
        if data is None:
            return None
        return {"data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}}

    return Facts(
        NODE,
        config_maps={name: None if data is None else {"data": data} for name, data in maps.items()},
        secrets={name: encoded(data) for name, data in secrets.items()},
        tokens={TokenRequest("v", "token", "", 900): "jwt"},
        services=tuple(services),
    )


def unless(error: type[Exception], work: Callable[[], T]) -> T | None:
    try:
        return work()
    except error:
        return None


def world(one: dict[str, str], two: dict[str, str]) -> JSON:
    return {"one": one, "two": two, "gone": None}


@given(TEXTS, st.dictionaries(NAMES, TEXTS, max_size=3))
def test_expansion(text: str, mapping: dict[str, str]):
    assert expand(text, mapping) == go_expand(text, mapping)


@given(ENV, ENV_FROM, st.tuples(DATA, DATA), st.tuples(DATA, DATA), SERVICES, st.booleans())
def test_the_environment(entries, env_from, maps, secrets, services, use):
    container = {"name": "c", "image": "i", "env": entries, "envFrom": env_from}
    pod = {
        "metadata": {"name": "web", "namespace": "shop", "uid": "u"},
        "spec": {"containers": [container], "enableServiceLinks": use},
    }
    wanted = unless(Blocked, lambda: reference_env(container, world(*maps), world(*secrets), services, use))
    known = facts(world(*maps), world(*secrets), services)
    found = unless(Unresolved, lambda: env.resolve(pod, container, known)[0])
    if wanted is None or found is None:
        assert found == wanted
        return
    assert {one.name: one.value for one in found} == wanted
    assert len(found) == len({one.name for one in found})


@given(VOLUME, st.tuples(DATA, DATA), st.tuples(DATA, DATA), TEXTS)
def test_a_volume(volume, maps, secrets, label):
    volume = {"name": "v", **volume}
    pod = {
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "labels": {"x": label}},
        "spec": {"containers": [{"name": "c"}], "volumes": [volume]},
    }
    wanted = unless(Blocked, lambda: reference_files(volume, world(*maps), world(*secrets), {"x": label}))
    known = facts(world(*maps), world(*secrets), [])
    found = unless(Unresolved, lambda: volumes.resolve(pod, known)[0])
    if wanted is None or found is None:
        assert found == wanted
        return
    files = found["v"]
    assert isinstance(files, Files)
    assert {file.path: (file.content, file.mode) for file in files.files} == wanted
