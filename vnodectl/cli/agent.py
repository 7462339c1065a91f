"""`vnodectl agent`: the process that the chart deploys."""

from __future__ import annotations

import inspect
import os
from typing import Annotated, Any

import typer

from vnodectl.agent_settings.layers import layered
from vnodectl.agent_settings.model import Kind, Setting
from vnodectl.agent_settings.table import CONFIG_VARIABLE, GROUPS


def agent(config: str | None = None, **flags: Any) -> None:
    """Be one virtual node or several, until SIGTERM. This is what the chart runs.

    Every option can be said in the environment or in a settings file as well: see docs/settings.md.
    """
    import asyncio

    from vnodectl import logs
    from vnodectl.agent import AgentSettings, run
    from vnodectl.cli.settings_file import read_config

    path = config or os.environ.get(CONFIG_VARIABLE)
    said = {name.replace("_", "-"): value for name, value in flags.items()}
    values = layered(said, os.environ, read_config(path) if path else {})
    logs.set_up(logs.LogFormat(values.text("log-format")), values.text("log-level"))
    asyncio.run(run(AgentSettings.of(values), values.environment(os.environ)))


def _option(setting: Setting, panel: str) -> inspect.Parameter:
    """A parameter without a default: what nobody says on the command line may be said elsewhere."""
    told = [f"env: {setting.variable}"]
    if default := setting.default or setting.otherwise:
        told.insert(0, default if default.startswith("required") else f"default: {default}")
    words = setting.help
    if setting.choices:
        words += f" One of {', '.join(setting.choices)}."
    names = [f"{setting.flag}/--no-{setting.name}"] if setting.kind is Kind.YES_NO else [setting.flag]
    option = typer.Option(
        *names,
        help=f"{words} ({'; '.join(told)})",
        metavar=None if setting.kind is Kind.YES_NO else _metavar(setting),
        rich_help_panel=panel,
        show_default=False,
    )
    kind: Any = bool | None if setting.kind is Kind.YES_NO else str | None
    return inspect.Parameter(
        setting.name.replace("-", "_"),
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind, option],
    )


def _metavar(setting: Setting) -> str:
    return {Kind.NUMBER: "N", Kind.QUANTITY: "QUANTITY"}.get(setting.kind, "TEXT")


def _declare() -> None:
    """The options of `agent`, made from the table."""
    option = typer.Option(help=f"A YAML file of settings. (env: {CONFIG_VARIABLE})", metavar="FILE")
    config = inspect.Parameter(
        "config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
    )
    parameters = [config]
    parameters += [_option(one, group.title) for group in GROUPS for one in group.settings if one.flag]
    agent.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    agent.__annotations__ = {one.name: one.annotation for one in parameters}


_declare()
