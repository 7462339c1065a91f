"""Errors as Azure Resource Manager and Microsoft Entra ID write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ArmError(Exception):
    """An answer of ARM: `{"error": {"code", "message", "target"?}}` with an HTTP status."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        return {"error": error_body(self.code, self.message, self.target)}


def error_body(code: str, message: str, target: str = "") -> dict[str, Any]:
    body = {"code": code, "message": message}
    return body | {"target": target} if target else body


def bad_request(code: str, message: str, target: str = "") -> ArmError:
    return ArmError(400, code, message, target=target)


def invalid_content(message: str) -> ArmError:
    return bad_request("InvalidRequestContent", f"The request content was invalid: {message}")


def resource_not_found(kind: str, name: str, group: str) -> ArmError:
    return ArmError(
        404,
        "ResourceNotFound",
        f"The Resource '{kind}/{name}' under resource group '{group}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def resource_group_not_found(name: str) -> ArmError:
    return ArmError(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")


def throttled(code: str, message: str, seconds: float) -> ArmError:
    """429 with Retry-After in whole seconds, at least one."""
    wait = max(1, int(-(-min(seconds, 3600) // 1)))
    return ArmError(429, code, message.format(wait=wait), headers={"Retry-After": str(wait)})


class EntraError(Exception):
    """An answer of the token endpoint: OAuth's `error` with an AADSTS number and text."""

    def __init__(self, status: int, error: str, number: int, message: str) -> None:
        super().__init__(f"AADSTS{number}: {message}")
        self.status = status
        self.error = error
        self.number = number
        self.message = message
