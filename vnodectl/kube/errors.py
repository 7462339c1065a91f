"""Answers of the API server that are errors, by what a caller does about them."""

from __future__ import annotations

from typing import Any

from vnodectl.errors import EXIT_UNREACHABLE, VnodectlError


class ApiError(VnodectlError):
    """The API server said no. `status` is the HTTP code, `reason` the Status object's CamelCase reason."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message or reason or f"the Kubernetes API answered HTTP {status}", hint=hint)
        self.status = status
        self.reason = reason
        self.details = details or {}


class Unauthorized(ApiError):
    """401: the credentials are missing, wrong or expired."""

    exit_code = EXIT_UNREACHABLE


class Forbidden(ApiError):
    """403: known, but not allowed; or an admission plug-in refused the object."""


class NotFound(ApiError):
    """404."""


class AlreadyExists(ApiError):
    """409 with reason AlreadyExists."""


class Conflict(ApiError):
    """409: the object changed meanwhile, or a precondition (uid, resourceVersion) does not hold."""


class Expired(ApiError):
    """410: the resourceVersion or continue token is too old; list again."""


class Invalid(ApiError):
    """422 or 400: the object or a parameter is not acceptable as it is."""


class Throttled(ApiError):
    """429. `retry_after` in seconds."""

    def __init__(self, status: int, reason: str, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(status, reason, message)
        self.retry_after = retry_after


def from_status(status: int, body: Any, retry_after: float) -> ApiError:
    """The error for an HTTP status and the Status object that came with it, if one did.

    Other bodies (a proxy's page) are not kept: an error must not hold what nobody has looked at.
    """
    reason, message = "", ""
    details: dict[str, Any] = {}
    if isinstance(body, dict):
        reason, message = str(body.get("reason") or ""), str(body.get("message") or "")
        details = body.get("details") or {}
    if status == 409 and reason == "AlreadyExists":
        return AlreadyExists(status, reason, message, details=details)
    if status == 429:
        return Throttled(status, reason, message, retry_after=retry_after)
    hint = ""
    if status == 401:
        if message in ("", "Unauthorized"):  # all that kube-apiserver says
            message = "the Kubernetes API does not accept the credentials (Unauthorized)"
        hint = "log in again, or check the kubeconfig's user: kubectl auth whoami"
    elif status == 403 and ": User " in message:  # a right is missing; else an admission plug-in says no
        hint = "ask an administrator for the right that is named"
    kinds: dict[int, type[ApiError]] = {
        400: Invalid,
        401: Unauthorized,
        403: Forbidden,
        404: NotFound,
        409: Conflict,
        410: Expired,
        422: Invalid,
    }
    return kinds.get(status, ApiError)(status, reason, message, details=details, hint=hint)
