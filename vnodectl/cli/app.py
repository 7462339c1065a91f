"""The `vnodectl` program: commands, and errors turned into messages and exit codes.

Command modules import nothing heavy at their top: help, version and completion must not load a cloud
SDK or a Kubernetes client (a test holds this).
"""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper
from itertools import pairwise
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
from vnodectl.cli.output import complain, note, report, write_failure
from vnodectl.cli.run import EXIT_INTERRUPTED
from vnodectl.errors import EXIT_FAILED, EXIT_OK, VnodectlError

PROGRAM = "vnodectl"

_OUTPUT = re.compile(r"-[a-zA-Z]*o|--output")
_OUTPUT_JSON = re.compile(r"-[a-zA-Z]*ojson|--output=json")
"""The option, alone and with its value; short flags may stand before it, as in `-vo json`."""

_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)

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
    """Check, install, validate, upgrade and remove Kubernetes virtual nodes.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 warnings under --strict,
    4 timed out, 5 cluster or cloud unreachable, 130 interrupted.
    """


def run_program(arguments: Sequence[str]) -> int:
    """The exit code of one command line; messages are on stderr by then.

    Who asked for JSON gets one document in every case: a command that ends in an error has written none.
    """
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has gone
        _write_no_more()
        return EXIT_FAILED
    except OSError as error:  # of `_NOT_WRITTEN`
        _write_no_more()
        complain(f"the result cannot be written: {error.strerror}")
        return EXIT_FAILED
    return code


def _write_no_more() -> None:
    """What Python still holds would raise once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: Sequence[str]) -> int:
    try:
        code = app(args=list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except VnodectlError as error:
        report(error)
        return _failed(arguments, error.exit_code, error.message, error.hint)
    except typer.TyperException as error:
        if not error.format_message():  # a group without a command has printed its help, with nothing to add
            return error.exit_code
        complain(error.format_message(), _usage_hint(error))
        return _failed(arguments, error.exit_code, error.format_message(), _usage_hint(error))
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_INTERRUPTED
    except OSError as error:
        if isinstance(error, BrokenPipeError) or (error.filename is None and error.errno in _NOT_WRITTEN):
            raise
        if error.filename is None:
            return _defect(arguments, error)
        message = f"{error.filename}: {error.strerror}"  # e.g. a home directory that cannot be written
        complain(message)
        return _failed(arguments, EXIT_FAILED, message, "")
    except Exception as error:
        return _defect(arguments, error)
    if code == EXIT_INTERRUPTED:  # also what typer makes of a KeyboardInterrupt
        note("interrupted")
        return _failed(arguments, EXIT_INTERRUPTED, "interrupted", "")
    return code if isinstance(code, int) else EXIT_OK


def _failed(arguments: Sequence[str], exit_code: int, message: str, hint: str) -> int:
    if _wants_json(arguments):
        write_failure(exit_code, message, hint)
    return exit_code


def _defect(arguments: Sequence[str], error: Exception) -> int:
    """What nobody foresaw: with its traceback, as that is what mends it."""
    traceback.print_exception(error)
    message, hint = f"a defect of {PROGRAM}: {type(error).__name__}", "report it with the lines above"
    complain(message, hint)
    return _failed(arguments, EXIT_FAILED, message, hint)


def _wants_json(arguments: Sequence[str]) -> bool:
    """Read from the arguments themselves, which may be too wrong to be parsed."""
    joined = any(_OUTPUT_JSON.fullmatch(one) for one in arguments)
    return joined or any(_OUTPUT.fullmatch(one) and then == "json" for one, then in pairwise(arguments))


def _usage_hint(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"see {context.command_path} --help" if context is not None else ""


def _open_streams() -> None:
    """Streams that the caller closed (`>&-`) lead nowhere; else the next socket would take their numbers.

    What the encoding of stdout has no letter for is written in ASCII.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(
                sys, name, os.fdopen(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False)
            )
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def main() -> None:
    """Entry point of the console script."""
    _open_streams()
    completion.join_words(os.environ)
    sys.exit(run_program(sys.argv[1:]))
