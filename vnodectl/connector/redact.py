"""Taking secrets out of text that others wrote: Helm's messages, a pod's log."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from urllib.parse import quote

MASK = "***"

Redactor = Callable[[str], str]


def redactor(secrets: Iterable[str]) -> Redactor:
    """A function that masks each secret as it is, in Base64, quoted for JSON and quoted for a URL."""
    forms: set[str] = set()
    for secret in secrets:
        if secret:
            encoded = base64.b64encode(secret.encode()).decode()
            forms |= {secret, encoded, encoded.rstrip("="), json.dumps(secret)[1:-1], quote(secret, safe="")}
    longest_first = sorted(forms, key=len, reverse=True)

    def redact(text: str) -> str:
        for form in longest_first:
            text = text.replace(form, MASK)
        return text

    return redact
