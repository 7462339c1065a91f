"""`vnodectl completion`: the script that teaches a shell to complete the program's commands and options."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from enum import StrEnum
from typing import Annotated

import typer


class Shell(StrEnum):
    """Shells with a script; the value is also the script's suffix in `completions/`."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"


FILES = {
    Shell.BASH: "vnodectl.bash",
    Shell.ZSH: "_vnodectl",
    Shell.FISH: "vnodectl.fish",
    Shell.POWERSHELL: "vnodectl.ps1",
}
"""What each script is called where shells look for it."""


def script(shell: Shell) -> str:
    """The script; it asks the program itself, so it never lacks a command."""
    from typer._completion_shared import get_completion_script

    return (
        get_completion_script(prog_name="vnodectl", complete_var="_VNODECTL_COMPLETE", shell=shell.value)
        + "\n"
    )


def join_words(environ: MutableMapping[str, str]) -> None:
    """Bash breaks `--output=js` into three words, and what reads them expects two."""
    if environ.get("_VNODECTL_COMPLETE") != "complete_bash":
        return
    words = environ.get("COMP_WORDS", "").split("\n")
    at = int(environ.get("COMP_CWORD") or 0)
    kept = [
        number
        for number, word in enumerate(words)
        if not (word == "=" and 0 < number < at and words[number - 1].startswith("--"))
    ]
    environ["COMP_WORDS"] = "\n".join(words[number] for number in kept)
    environ["COMP_CWORD"] = str(sum(number < at for number in kept))


def completion(
    shell: Annotated[Shell, typer.Argument(help="For which shell.")],
) -> None:
    """Print the completion script of a shell.

    To set it up for good in the shell in use: vnodectl --install-completion

    \b
    Examples:
      source <(vnodectl completion bash)
      vnodectl completion zsh > "${fpath[1]}/_vnodectl"
      vnodectl completion fish > ~/.config/fish/completions/vnodectl.fish
      vnodectl completion powershell >> $PROFILE
    """
    sys.stdout.write(script(shell))
