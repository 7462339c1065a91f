from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vnodectl.cli.app import run_program
from vnodectl.cli.completion import FILES, Shell, script


@pytest.mark.parametrize("shell", list(Shell))
def test_the_scripts_in_the_repository_are_not_stale(shell: Shell, repository: Path) -> None:
    """Mend with: vnodectl completion SHELL > completions/FILE."""
    assert (repository / "completions" / FILES[shell]).read_text() == script(shell)


@pytest.mark.parametrize("shell", list(Shell))
def test_a_script_is_printed_alone(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(["completion", shell.value]) == 0
    assert capsys.readouterr() == (script(shell), "")


@pytest.fixture
def on_path(tmp_path: Path) -> dict[str, str]:
    """An environment in which `vnodectl` is this very program."""
    launcher = tmp_path / "vnodectl"
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vnodectl "$@"\n')
    launcher.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("vnodectl re", ["remove-connector"]),
        ("vnodectl install-connector --os", ["--os-type"]),
        ("vnodectl sample win", ["windows"]),
        ("vnodectl sandbox u", ["up"]),
    ],
)
def test_bash_completes_commands_options_and_values(
    line: str, expected: list[str], on_path: dict[str, str]
) -> None:
    words = line.split()
    test = (
        'eval "$(vnodectl completion bash)"; '
        f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
        '_vnodectl_completion vnodectl; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", test], env=on_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == expected


def test_install_completion_sets_up_the_shell_in_use(on_path: dict[str, str]) -> None:
    # The trailing command keeps bash itself as the parent, whose name is looked up.
    subprocess.run(["bash", "-c", "vnodectl --install-completion; true"], env=on_path, check=True)
    home = Path(on_path["HOME"])
    installed = (home / ".bash_completions" / "vnodectl.sh").read_text()
    assert "_vnodectl_completion" in installed
    assert "vnodectl.sh" in (home / ".bashrc").read_text()
