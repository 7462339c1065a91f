"""The `vnodectl` program: commands, and errors turned into messages and exit codes.

Command modules import nothing heavy at their top: help, version and completion must not load a cloud
SDK or a Kubernetes client (a test holds this).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from vnodectl import __version__
from vnodectl.cli import (
    agent,
    check,
    completion,
    emulator,
    install,
    lint,
    node,
    remove,
    sample,
    sandbox,
    show,
    sysdump,
    upgrade,
    validate,
)
from vnodectl.cli.output import complain, note, report
from vnodectl.cli.run import EXIT_INTERRUPTED
from vnodectl.errors import EXIT_FAILED, EXIT_OK, VnodectlError

PROGRAM = "vnodectl"

app = typer.Typer(
    name=PROGRAM,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("check")(check.check)
app.command("install-connector")(install.install_connector)
app.command("show-connector")(show.show_connector)
app.command("upgrade-connector")(upgrade.upgrade_connector)
app.command("validate")(validate.validate)
app.command("remove-connector")(remove.remove_connector)
app.command("lint")(lint.lint)
app.command("sysdump")(sysdump.sysdump)
app.command("sample")(sample.sample)
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(emulator.app, name="emulator")
app.command("agent")(agent.agent)
app.command("completion")(completion.completion)
app.command("wait-node", hidden=True)(node.wait_node)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"{PROGRAM} {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Install, check, validate and remove Kubernetes virtual nodes.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 warnings under --strict,
    4 timed out, 5 cluster or cloud unreachable, 130 interrupted.
    """


def run_program(arguments: Sequence[str]) -> int:
    """The exit code of one command line; messages are on stderr by then."""
    try:
        code = app(args=list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except VnodectlError as error:
        report(error)
        return error.exit_code
    except typer.TyperException as error:
        if error.format_message():  # a group without a command has printed its help and has nothing to add
            complain(error.format_message(), _usage_hint(error))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        note("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader has gone: nothing may be written any more, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    if code == EXIT_INTERRUPTED:  # what typer makes of a KeyboardInterrupt
        note("interrupted")
    return code if isinstance(code, int) else EXIT_OK


def _usage_hint(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"see {context.command_path} --help" if context is not None else ""


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run_program(sys.argv[1:]))
