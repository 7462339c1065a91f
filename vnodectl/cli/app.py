"""The `vnodectl` program: commands, and errors turned into messages and exit codes.

Command modules import nothing heavy at their top: help, version and completion must not load a cloud
SDK or a Kubernetes client (a test holds this).
"""

from __future__ import annotations

import sys

import typer

from vnodectl.errors import VnodectlError

app = typer.Typer(name="vnodectl", no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def root() -> None:
    """Install, check, validate and remove Kubernetes virtual nodes."""


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except VnodectlError as error:
        sys.stderr.write(f"error: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"hint: {error.hint}\n")
        sys.exit(error.exit_code)
