"""The three ways in which a request is signed. Pure.

- ACS3-HMAC-SHA256, "V3": an `Authorization` header over method, path, query, some headers and the body.
- HMAC-SHA1 of the RPC style: a `Signature` parameter over all the other parameters.
- HMAC-SHA1 of the ROA style: `Authorization: acs <key>:<signature>` over some headers, path and query.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from vnodectl.emulator.alibaba.errors import ApiError, gateway_error

V3 = "ACS3-HMAC-SHA256"
_V3 = re.compile(r"(ACS3-[A-Z0-9-]+) +Credential=([^,]+), *SignedHeaders=([^,]+), *Signature=([0-9a-f]+)")
_ROA = re.compile(r"acs ([^:]+):(\S+)")
PROTOCOL = frozenset(
    (
        "AccessKeyId",
        "Action",
        "Format",
        "SecurityToken",
        "Signature",
        "SignatureMethod",
        "SignatureNonce",
        "SignatureType",
        "SignatureVersion",
        "Timestamp",
        "Version",
    )
)
"""Parameters of the RPC style that belong to the protocol and not to the operation."""


@dataclass(frozen=True, slots=True)
class Message:
    """A request as it came in. Header names are in lower case, `path` is as it was sent.

    `parameters` are those of the query and of a form in the body together; `query` those of the query.
    """

    method: str
    path: str
    query: Mapping[str, str]
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Signed:
    """What a request claims. `time` in seconds since the epoch; `candidates`: what may have been signed."""

    key_id: str
    time: float
    nonce: str
    token: str = field(repr=False)
    algorithm: str
    signature: str = field(repr=False)
    candidates: tuple[bytes, ...] = field(repr=False)

    def made_with(self, secret: str) -> bool:
        return any(
            hmac.compare_digest(_sign(self.algorithm, secret, one), self.signature) for one in self.candidates
        )


def read(message: Message) -> Signed:
    """Raises ApiError where a request is not signed at all, or not in a way that can be checked."""
    authorization = message.headers.get("authorization", "")
    if match := _V3.fullmatch(authorization):
        return _read_v3(message, *match.groups())
    if match := _ROA.fullmatch(authorization):
        return _read_roa(message, match[1], match[2])
    if "Signature" in message.parameters:
        return _read_rpc(message)
    if authorization:
        raise gateway_error(
            400, "IncompleteSignature", "The request signature does not conform to Aliyun standards."
        )
    raise gateway_error(400, "MissingAccessKeyId", "AccessKeyId is mandatory for this action.")


def _sign(algorithm: str, secret: str, text: bytes) -> str:
    if algorithm == V3:
        return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
    key = secret + "&" if algorithm == "RPC" else secret
    return base64.b64encode(hmac.new(key.encode(), text, hashlib.sha1).digest()).decode()


def _read_v3(message: Message, algorithm: str, key_id: str, signed: str, signature: str) -> Signed:
    headers = message.headers
    if algorithm != V3:
        raise _unknown_method()
    payload = hashlib.sha256(message.body).hexdigest()
    if headers.get("x-acs-content-sha256") != payload:
        raise mismatch()
    names = signed.split(";")
    covered = [name for name in headers if name.startswith("x-acs-") or name == "host"]
    if names != sorted(names) or not set(covered) <= set(names):
        raise mismatch()
    query = _pairs(message.query)
    lines = "".join(f"{name}:{headers.get(name, '').strip()}\n" for name in names)
    request = "\n".join((message.method, message.path or "/", query, lines, signed, payload))
    text = f"{V3}\n{hashlib.sha256(request.encode()).hexdigest()}"
    return Signed(
        key_id=key_id,
        time=_iso(headers.get("x-acs-date", "")),
        nonce=headers.get("x-acs-signature-nonce", ""),
        token=headers.get("x-acs-security-token", ""),
        algorithm=V3,
        signature=signature,
        candidates=(text.encode(),),
    )


def _read_rpc(message: Message) -> Signed:
    values = message.parameters
    if values.get("SignatureMethod", "HMAC-SHA1") != "HMAC-SHA1":
        raise _unknown_method()
    if not values.get("AccessKeyId"):
        raise gateway_error(400, "MissingAccessKeyId", "AccessKeyId is mandatory for this action.")
    signed = _pairs({name: value for name, value in values.items() if name != "Signature"})
    text = f"{message.method}&%2F&{quote(signed, safe='~')}"
    return Signed(
        key_id=values["AccessKeyId"],
        time=_iso(values.get("Timestamp", "")),
        nonce=values.get("SignatureNonce", ""),
        token=values.get("SecurityToken", ""),
        algorithm="RPC",
        signature=values["Signature"],
        candidates=(text.encode(),),
    )


def _read_roa(message: Message, key_id: str, signature: str) -> Signed:
    headers = message.headers
    if headers.get("x-acs-signature-method", "HMAC-SHA1") != "HMAC-SHA1":
        raise _unknown_method()
    own = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-acs-"))
    values = (f"{name}={value}" if value else name for name, value in sorted(message.query.items()))
    resource = "?".join(part for part in (message.path, "&".join(values)) if part)
    kind = headers.get("content-type", "")
    # An HTTP library may add a type to an empty body, which then nobody has signed.
    kinds = (kind,) if message.body else (kind, "")
    return Signed(
        key_id=key_id,
        time=_http_date(headers.get("date", "")),
        nonce=headers.get("x-acs-signature-nonce", ""),
        token=headers.get("x-acs-security-token", ""),
        algorithm="ROA",
        signature=signature,
        candidates=tuple(
            "\n".join(
                (
                    message.method,
                    headers.get("accept", ""),
                    headers.get("content-md5", ""),
                    one,
                    headers.get("date", ""),
                    own + resource,
                )
            ).encode()
            for one in kinds
        ),
    )


def _pairs(values: Mapping[str, str]) -> str:
    """Sorted by name, both sides encoded as RFC 3986 does."""
    return "&".join(f"{quote(name, safe='~')}={quote(values[name], safe='~')}" for name in sorted(values))


def mismatch() -> ApiError:
    return gateway_error(
        400, "SignatureDoesNotMatch", "Specified signature is not matched with our calculation."
    )


def _unknown_method() -> ApiError:
    return gateway_error(400, "InvalidSignatureMethod", "Specified signature method is not valid.")


def _bad_time() -> ApiError:
    return gateway_error(
        400, "InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted."
    )


def _iso(text: str) -> float:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise _bad_time() from error


def _http_date(text: str) -> float:
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError as error:
        raise _bad_time() from error
