"""From flags, environment and file to one value for each setting."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vnodectl.agent_settings import azure_aci
from vnodectl.agent_settings.model import Kind, Setting
from vnodectl.agent_settings.table import SETTINGS
from vnodectl.errors import UsageError

_YES = {"true": "true", "yes": "true", "1": "true", "false": "false", "no": "false", "0": "false"}


@dataclass(frozen=True, slots=True)
class Values:
    """One text for each setting, checked. `said` are those that somebody gave, defaults left out."""

    values: Mapping[str, str] = field(repr=False)
    said: frozenset[str]

    def text(self, name: str) -> str:
        return self.values[name]

    def number(self, name: str) -> int | None:
        """None where nothing was said and there is no default."""
        return int(self.values[name]) if self.values[name] else None

    def yes(self, name: str) -> bool:
        return self.values[name] == "true"

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """`environ` with each setting that somebody gave under its own variable."""
        given = {one.variable: self.values[one.name] for one in SETTINGS if one.name in self.said}
        return {**environ, **given}


def layered(flags: Mapping[str, Any], environ: Mapping[str, str], file: Mapping[str, Any]) -> Values:
    """Flags win over the environment, the environment over the file, the file over defaults.

    Within the environment our own variables win over those of other programs. An empty text says nothing.
    Raises UsageError for an unknown key of the file, and for a value that cannot be, naming its source.
    """
    environ = azure_aci.usable(environ)
    old = azure_aci.composed(environ)
    _check_keys(file)
    values, said = {}, set()
    for setting in SETTINGS:
        source, value = _first(
            (
                (setting.flag, flags.get(setting.name)),
                *((name, environ.get(name)) for name in (setting.variable, *setting.formerly)),
                ("azure-aci's environment", old.get(setting.name)),
                (f"{setting.name} in the settings file", file.get(setting.name)),
            )
        )
        if source:
            said.add(setting.name)
        values[setting.name] = _checked(setting, _text(value), source) if source else setting.default
    _adjust(values, environ)
    return Values(values, frozenset(said))


def _first(candidates: Iterable[tuple[str, Any]]) -> tuple[str, Any]:
    return next(((name, value) for name, value in candidates if value not in (None, "")), ("", ""))


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value).strip()


def _check_keys(file: Mapping[str, Any]) -> None:
    known = {setting.name: setting for setting in SETTINGS}
    for key in file:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]}?" if close else "docs/settings.md lists them all"
            raise UsageError(f"the settings file has an unknown key {key!r}", hint=hint)
        if known[key].kind is Kind.SECRET:
            raise UsageError(
                f"{key} does not belong in a settings file", hint=f"set {known[key].variable}, or name a file"
            )


def _checked(setting: Setting, value: str, source: str) -> str:
    """The value in its normal form."""
    match setting.kind:
        case Kind.NUMBER:
            if not value.isdecimal() or not setting.least <= int(value) <= setting.most:
                raise UsageError(
                    f"{source}: {value!r} is not a whole number from {setting.least} to {setting.most}"
                )
        case Kind.YES_NO:
            if value.lower() not in _YES:
                raise UsageError(f"{source}: {value!r} is not true or false")
            return _YES[value.lower()]
        case Kind.QUANTITY:
            from vnodectl.runtime.quantity import parse

            try:
                parse(value)
            except ValueError as error:
                raise UsageError(f"{source}: {error}") from None
        case Kind.TEXT if setting.choices:
            exact = next((choice for choice in setting.choices if choice.lower() == value.lower()), None)
            if exact is None:
                raise UsageError(f"{source}: {value!r} is not one of {', '.join(setting.choices)}")
            return exact
        case _:
            pass
    return value


def _adjust(values: dict[str, str], environ: Mapping[str, str]) -> None:
    """What depends on several settings."""
    if not values["node-name"]:
        raise UsageError("the node has no name", hint="give it with --node-name or VNODECTL_NODE_NAME")
    server = values["api-server"]
    if server and "://" not in server:  # azure-aci's MASTER_URI may be a bare address
        values["api-server"] = f"https://{server}"
    files = [values["serving-cert-file"], values["serving-key-file"]]
    if any(files) and not all(files):
        raise UsageError("serving-cert-file and serving-key-file need each other")
    if environ.get("VIRTUALNODE_USER_IDENTITY_CLIENTID") == values["client-id"] and not environ.get(
        "AZURE_CLIENT_ID"
    ):
        # azure-aci's managed identity: a secret of somebody else beside it does not count.
        values["client-secret"] = ""
