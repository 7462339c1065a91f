"""The Date header of HTTP answers, as a clock to compare with."""

from __future__ import annotations

from email.utils import parsedate_to_datetime


def ahead(date: str | None, before: float, after: float) -> float | None:
    """Seconds that a server's clock is ahead of this machine's; None where `date` is no date.

    `before` and `after` are this machine's seconds since the epoch around the call. The header has whole
    seconds (RFC 9110), so half a second is added to it.
    """
    if not date:
        return None
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    return theirs + 0.5 - (before + after) / 2
