"""Everything that a run of checks was told, as one JSON document, and the same run again without a network.

    recorder = Recorder(redact=clean)
    report = await run(all_checks(), recorder.wrap(context))
    document = recorder.document()
    …
    report = await run(all_checks(), replay(document))

Recorded checks are given exactly what is kept (see `trim`), and their clock stands still, so both runs come
to the same verdicts.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from vnodectl.checks import trim
from vnodectl.checks.context import Context
from vnodectl.checks.model import Resource
from vnodectl.checks.readers import (
    JSON,
    AlibabaReader,
    AzureReader,
    HelmReader,
    ImageFound,
    KubeReader,
    Params,
    RegistryReader,
    SecretRef,
    Signature,
)
from vnodectl.checks.target import Target
from vnodectl.errors import TimedOut, UsageError, VnodectlError

SCHEMA_VERSION = 1

Shape = Callable[[Any], Any]


class NotRecorded(VnodectlError):
    """A check asks for what the recording does not have: it is newer, or was left out at the time."""


class Tape(Protocol):
    """Where answers of one reader are kept, or come from."""

    async def take(self, request: Sequence[Any], ask: Callable[[], Awaitable[Any]], shape: Shape, /) -> Any:
        """The answer to `request`: from `ask`, made plain by `shape`; or the one of the recording."""


class Recorder:
    """Wraps the readers of a context, and remembers what they say. For one run.

    `redact` is applied to every text of an answer or an error, besides what `trim` does.
    """

    def __init__(self, *, redact: Callable[[str], str] = lambda text: text) -> None:
        self._redact = redact
        self._tapes: dict[str, _Recording] = {}
        self._head: JSON = {}

    def wrap(self, context: Context) -> Context:
        """The same, listened to. Nothing else may be asked of it afterwards but by the run."""
        now = context.now()
        sources = context.sources
        self._head = {
            "schemaVersion": SCHEMA_VERSION,
            "takenAt": now.isoformat(),
            "target": context.target.document() if context.planned else None,
            "absent": {key.value: reason for key, reason in context.absent.items()},
            "broken": {key.value: _error(error, self._redact) for key, error in context.broken.items()},
        }
        kube, azure, alibaba = sources.kube, sources.azure, sources.alibaba
        return Context(
            target=context.target if context.planned else None,
            kube=KubeTape(self._tape("kube", server=kube.server, context=kube.context), kube)
            if kube
            else None,
            azure=AzureTape(self._tape("azure", subscription=azure.subscription), azure) if azure else None,
            alibaba=AlibabaTape(self._tape("alibaba", region=alibaba.region), alibaba) if alibaba else None,
            helm=HelmTape(self._tape("helm"), sources.helm) if sources.helm else None,
            registry=RegistryTape(self._tape("registry"), sources.registry) if sources.registry else None,
            now=lambda: now,
            absent=context.absent,
            broken=context.broken,
        )

    def document(self) -> JSON:
        """What was recorded; JSON."""
        return {**self._head, "readers": {name: tape.document() for name, tape in self._tapes.items()}}

    def _tape(self, name: str, **facts: str) -> _Recording:
        self._tapes[name] = _Recording(facts, self._redact)
        return self._tapes[name]


def replay(document: JSON) -> Context:
    """A context that answers from a recording alone. UsageError where it is none that this version reads."""
    if document.get("schemaVersion") != SCHEMA_VERSION:
        raise UsageError(
            f"the recording is of version {document.get('schemaVersion')!r}; this reads {SCHEMA_VERSION}",
            hint="replay it with the version of vnodectl that wrote it",
        )
    try:
        now = datetime.fromisoformat(document["takenAt"])
        target = Target.from_document(document["target"]) if document["target"] is not None else None
        tapes = {name: _Replaying(body) for name, body in document["readers"].items()}
        return Context(
            target=target,
            kube=KubeTape(tapes["kube"], None) if "kube" in tapes else None,
            azure=AzureTape(tapes["azure"], None) if "azure" in tapes else None,
            alibaba=AlibabaTape(tapes["alibaba"], None) if "alibaba" in tapes else None,
            helm=HelmTape(tapes["helm"], None) if "helm" in tapes else None,
            registry=RegistryTape(tapes["registry"], None) if "registry" in tapes else None,
            now=lambda: now,
            absent={Resource(key): str(reason) for key, reason in document["absent"].items()},
            broken={Resource(key): _raised(body) for key, body in document["broken"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"this is not a recording of checks ({type(error).__name__}: {error})") from error


# --- tapes ----------------------------------------------------------------------------------------


class _Recording:
    """The last answer to each request. One that was never answered is kept as timed out."""

    def __init__(self, facts: Mapping[str, str], redact: Callable[[str], str]) -> None:
        self.facts = facts
        self._redact = redact
        self._calls: dict[str, JSON] = {}

    async def take(self, request: Sequence[Any], ask: Callable[[], Awaitable[Any]], shape: Shape) -> Any:
        key = _key(request)
        try:
            answer = trim.texts(shape(await ask()), self._redact)
        except VnodectlError as error:
            self._calls[key] = {"error": _error(error, self._redact)}
            raise
        except asyncio.CancelledError:
            # Out of time, or called off; whoever else was told something counts for more.
            unanswered = TimedOut("it did not answer in the time that the check had")
            self._calls.setdefault(key, {"error": _error(unanswered, self._redact)})
            raise
        self._calls[key] = {"answer": answer}
        return json.loads(json.dumps(answer))

    def document(self) -> JSON:
        calls = [{"request": json.loads(key), **call} for key, call in sorted(self._calls.items())]
        return {"facts": dict(self.facts), "calls": calls}


class _Replaying:
    def __init__(self, document: JSON) -> None:
        self.facts: Mapping[str, str] = document["facts"]
        self._calls: dict[str, JSON] = {_key(call["request"]): call for call in document["calls"]}

    async def take(self, request: Sequence[Any], _ask: Callable[[], Awaitable[Any]], _shape: Shape) -> Any:
        call = self._calls.get(_key(request))
        if call is None:
            raise NotRecorded("the recording does not have what this check asks for")
        if "error" in call:
            raise _raised(call["error"])
        return json.loads(json.dumps(call["answer"]))


def _key(request: Sequence[Any]) -> str:
    return json.dumps(list(request), sort_keys=True)


def _plain(mapping: Mapping[str, Any] | None) -> JSON:
    return dict(mapping or {})


# --- readers on a tape ----------------------------------------------------------------------------


class KubeTape:
    """A KubeReader; without a `reader` it only knows its tape."""

    def __init__(self, tape: _Recording | _Replaying, reader: KubeReader | None) -> None:
        self.server: str = tape.facts["server"]
        self.context: str = tape.facts["context"]
        self._tape = tape
        self._reader: Any = reader

    async def get(self, path: str, params: Params | None = None, *, timeout: float = 30) -> JSON:
        found: JSON = await self._tape.take(
            ["get", path, _plain(params)],
            lambda: self._reader.get(path, params, timeout=timeout),
            lambda body: trim.kube(path, body),
        )
        return found

    async def list(
        self, path: str, params: Params | None = None, *, page: int = 500, timeout: float = 60
    ) -> tuple[list[JSON], str]:
        items = await self._tape.take(
            ["list", path, _plain(params)],
            lambda: self._reader.list(path, params, page=page, timeout=timeout),
            lambda found: trim.kube_items(path, found[0]),
        )
        return items, ""

    async def create(
        self, path: str, body: JSON, params: Params | None = None, *, timeout: float = 30
    ) -> JSON:
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
        found: JSON = await self._tape.take(
            ["create", path, _plain(params), digest],
            lambda: self._reader.create(path, body, params, timeout=timeout),
            lambda made: trim.kube(path, made),
        )
        return found

    async def clock_skew(self) -> float | None:
        return await _skew(self._tape, self._reader)


class AzureTape:
    """An AzureReader."""

    def __init__(self, tape: _Recording | _Replaying, reader: AzureReader | None) -> None:
        self.subscription: str = tape.facts["subscription"]
        self._tape = tape
        self._reader: Any = reader

    async def arm(
        self,
        method: str,
        path: str,
        api_version: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: JSON | None = None,
    ) -> JSON:
        found: JSON = await self._tape.take(
            ["arm", method, path, api_version, _plain(params)],
            lambda: self._reader.arm(method, path, api_version, params=params, body=body),
            trim.cloud,
        )
        return found

    async def pages(
        self, path: str, api_version: str, *, params: Mapping[str, str | int] | None = None
    ) -> list[JSON]:
        found: list[JSON] = await self._tape.take(
            ["pages", path, api_version, _plain(params)],
            lambda: self._reader.pages(path, api_version, params=params),
            trim.cloud,
        )
        return found

    async def graph(self, path: str, *, params: Mapping[str, str] | None = None) -> JSON:
        found: JSON = await self._tape.take(
            ["graph", path, _plain(params)],
            lambda: self._reader.graph(path, params=params),
            trim.cloud,
        )
        return found

    async def clock_skew(self) -> float | None:
        return await _skew(self._tape, self._reader)


class AlibabaTape:
    """An AlibabaReader."""

    def __init__(self, tape: _Recording | _Replaying, reader: AlibabaReader | None) -> None:
        self.region: str = tape.facts["region"]
        self._tape = tape
        self._reader: Any = reader

    async def call(
        self, product: str, action: str, version: str, params: Mapping[str, Any] | None = None
    ) -> JSON:
        found: JSON = await self._tape.take(
            ["call", product, action, version, _plain(params)],
            lambda: self._reader.call(product, action, version, params),
            trim.cloud,
        )
        return found

    async def roa(
        self,
        product: str,
        action: str,
        version: str,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
    ) -> JSON:
        found: JSON = await self._tape.take(
            ["roa", product, action, version, method, path, _plain(params)],
            lambda: self._reader.roa(product, action, version, method, path, params),
            trim.cloud,
        )
        return found

    async def clock_skew(self) -> float | None:
        return await _skew(self._tape, self._reader)


class HelmTape:
    """A HelmReader."""

    def __init__(self, tape: _Recording | _Replaying, reader: HelmReader | None) -> None:
        self._tape = tape
        self._reader: Any = reader

    async def found(self) -> str:
        return str(await self._tape.take(["found"], lambda: self._reader.found(), str))

    async def version(self) -> str:
        return str(await self._tape.take(["version"], lambda: self._reader.version(), str))

    async def manifests(self) -> list[JSON]:
        made: list[JSON] = await self._tape.take(["manifests"], lambda: self._reader.manifests(), trim.cloud)
        return made

    async def signature(self, chart: str) -> Signature | None:
        answer = await self._tape.take(
            ["signature", chart],
            lambda: self._reader.signature(chart),
            lambda found: found and {"signer": found.signer, "problem": found.problem},
        )
        return answer and Signature(**answer)


class RegistryTape:
    """A RegistryReader. Pull secrets are kept by name only."""

    def __init__(self, tape: _Recording | _Replaying, reader: RegistryReader | None) -> None:
        self._tape = tape
        self._reader: Any = reader

    async def manifest(self, reference: str, secrets: Sequence[SecretRef] = ()) -> ImageFound:
        answer = await self._tape.take(
            ["manifest", reference, [f"{one.namespace}/{one.name}" for one in secrets]],
            lambda: self._reader.manifest(reference, secrets),
            lambda found: {"status": found.status, "detail": found.detail},
        )
        return ImageFound(**answer)


async def _skew(tape: Tape, reader: Any) -> float | None:
    found: float | None = await tape.take(["clockSkew"], lambda: reader.clock_skew(), lambda skew: skew)
    return found


# --- errors ---------------------------------------------------------------------------------------

_HOMES = ("vnodectl.errors", "vnodectl.kube.errors", "vnodectl.clouds.azure", "vnodectl.clouds.alibaba")


def _error(error: VnodectlError, redact: Callable[[str], str]) -> JSON:
    """Its class by name, and those of its attributes that are plain."""
    kept = {
        key: value
        for key, value in vars(error).items()
        if value is None or isinstance(value, (str, int, float, bool))
    }
    return {"type": type(error).__name__, "module": type(error).__module__, **trim.texts(kept, redact)}


def _raised(document: JSON) -> VnodectlError:
    """An error of the same class; a plain VnodectlError where this version has no such class."""
    attributes = {key: value for key, value in document.items() if key not in {"type", "module"}}
    for home in _HOMES:
        importlib.import_module(home)
    for kind in _tree(VnodectlError):
        if (kind.__name__, kind.__module__) == (document["type"], document["module"]):
            break
    else:
        kind = VnodectlError
    error = kind.__new__(kind)
    Exception.__init__(error, attributes.get("message", ""))
    if kind.__module__ == "vnodectl.kube.errors":
        attributes.setdefault("details", {})
    vars(error).update(attributes)
    return error


def _tree(kind: type[VnodectlError]) -> Iterator[type[VnodectlError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)
