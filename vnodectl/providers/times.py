"""Times as clouds write them, as Kubernetes wants them."""

from __future__ import annotations

from datetime import UTC, datetime


def whole_seconds(value: object) -> str | None:
    """RFC 3339 in UTC without fractions; None for what is no time, or the one that means "none"."""
    if not isinstance(value, str) or not value:
        return None
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    # The default time of .NET and of Go.
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if when.year > 1 else None


def with_time(body: dict[str, object], name: str, value: object) -> dict[str, object]:
    """`body` with `name` set to the time, where it is one."""
    text = whole_seconds(value)
    if text is not None:
        body[name] = text
    return body
