"""What people see who press Tab: in real shells, on a terminal where a shell has no other way to be asked."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.fake_api import threaded_cluster

TAB = b"\t"
CONTEXTS = ("prod", "kind-test", "two words", "$(touch pwned)", "arn:aws:eks:one")
PATIENCE = 60.0


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Where `vnodectl` is this very program, and a kubeconfig with contexts of all kinds."""
    launcher = tmp_path / "vnodectl"
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vnodectl "$@"\n')
    launcher.chmod(0o755)
    kubeconfig = tmp_path / "config"
    entries = [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in CONTEXTS]
    kubeconfig.write_text(yaml.safe_dump({"contexts": entries, "current-context": "prod"}))
    return {
        **os.environ,
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "KUBECONFIG": str(kubeconfig),
        "TERM": "dumb",
        "ZDOTDIR": str(tmp_path),
    }


class Terminal:
    """A shell that believes somebody sits in front of it."""

    def __init__(self, command: tuple[str, ...], environment: dict[str, str], place: Path) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(self._ours, (50, 200))
        self._process = subprocess.Popen(
            command,
            env=environment,
            cwd=place,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._seen = b""

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def until(self, pattern: bytes) -> re.Match[bytes]:
        """Wait for what is shown to have the pattern; what came before it is forgotten."""
        while (match := re.search(pattern, self._seen)) is None:
            ready, _, _ = select.select([self._ours], [], [], PATIENCE)
            if not ready:
                raise TimeoutError(self._seen.decode(errors="replace"))
            self._seen += os.read(self._ours, 65536)
        self._seen = self._seen[match.end() :]
        return match

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._ours)


SHELLS = {
    "bash": ("bash", "--norc", "--noprofile", "-i"),
    "zsh": ("zsh", "-f", "-i"),
}
SETTING_UP = {
    "bash": "source <(vnodectl completion bash)",
    "zsh": (
        "unsetopt zle_bracketed_paste prompt_sp; autoload -U compinit; compinit -u -D;"
        "source <(vnodectl completion zsh)"
    ),
}
"""Nobody's own settings; then what the help of `vnodectl completion` says to do."""


def installed(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")


@pytest.fixture(params=list(SHELLS))
def terminal(
    request: pytest.FixtureRequest, environment: dict[str, str], tmp_path: Path
) -> Iterator[Terminal]:
    installed(request.param)
    place = tmp_path / "empty"
    place.mkdir()
    shell = Terminal(SHELLS[request.param], environment, place)
    try:
        shell.type(f"PS1='re''ady> '; {SETTING_UP[request.param]}\n".encode())
        shell.until(b"ready> ")
        yield shell
    finally:
        shell.close()


def completed(terminal: Terminal, line: str) -> str:
    """What becomes of a line when Tab is pressed at its end. Ctrl-A, Ctrl-E: its begin and its end."""
    terminal.type(line.encode() + TAB + b"\x01printf '<%s>\\n' '\x05'\n")
    return terminal.until(rb"\n<([^\r\n]*)>\r?\n")[1].decode().rstrip()


LINES = {
    "vnodectl ins": "vnodectl install-connector",
    "vnodectl show-connector --os": "vnodectl show-connector --os-type",
    "vnodectl show-connector --cloud az": "vnodectl show-connector --cloud azure",
    "vnodectl check --os-type wi": "vnodectl check --os-type windows",
    "vnodectl show-connector --context k": "vnodectl show-connector --context kind-test",
    "vnodectl check --only VN-KUBE-008 --only aliba": "vnodectl check --only VN-KUBE-008 --only alibaba",
    "vnodectl sandbox stat": "vnodectl sandbox status",
}


def test_tab_completes_commands_options_and_values(terminal: Terminal) -> None:
    assert {line: completed(terminal, line) for line in LINES} == LINES


def test_fish_completes_commands_options_and_values(environment: dict[str, str], tmp_path: Path) -> None:
    installed("fish")
    test = (
        "vnodectl completion fish | source; for line in $argv; complete -C $line | string split -f1 \\t; end"
    )
    done = subprocess.run(
        ["fish", "--no-config", "-c", test, "--", *LINES],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [line.rpartition(" ")[2] for line in LINES.values()]


def offered(environment: dict[str, str], *words: str) -> list[str]:
    """What bash would be offered for the last of the words."""
    asked = {
        "_VNODECTL_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(("vnodectl", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(
        [sys.executable, "-m", "vnodectl"],
        env={**environment, **asked},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_what_a_shell_would_have_to_quote_is_not_offered(environment: dict[str, str]) -> None:
    assert offered(environment, "validate", "--context", "") == ["prod", "kind-test", "arn:aws:eks:one"]


@pytest.mark.parametrize("content", [None, "", "a: [", "contexts: {}", "contexts: [{name: x}, 3]", "\x07"])
def test_a_kubeconfig_that_cannot_be_read_offers_nothing(
    content: str | None, environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "other"
    if content is not None:
        path.write_text(content)
    assert offered(environment, "check", "--kubeconfig", str(path), "--context", "") == []


def test_bash_breaks_words_at_equals_signs(environment: dict[str, str]) -> None:
    assert offered(environment, "check", "--output", "=", "js") == ["json"]
    assert offered(environment, "check", "--output", "=") == ["table", "short", "json", "junit"]
    assert offered(environment, "check", "--cloud", "=", "azure", "--output", "=", "ju") == ["junit"]


def test_checks_are_offered_in_lists_with_commas(environment: dict[str, str]) -> None:
    assert offered(environment, "check", "--skip", "azure,VN-KUBE-009") == ["azure,VN-KUBE-009"]


def test_connectors_are_offered_as_the_cluster_has_them(environment: dict[str, str], tmp_path: Path) -> None:
    labels = {"app.kubernetes.io/part-of": "vnodectl"}
    config = tmp_path / "live"
    with threaded_cluster() as (api, url):
        for release, name in (("mine-linux-eastus", "mine"), ("mine-windows-eastus", "mine"), ("r", "other")):
            meta = {"name": release, "labels": {**labels, "vnodectl.io/connector": name}}
            api.put("deployments", {"metadata": meta, "spec": {}}, namespace="vnode-system")
        config.write_text(
            yaml.safe_dump(
                {
                    "current-context": "here",
                    "clusters": [{"name": "c", "cluster": {"server": url}}],
                    "contexts": [{"name": "here", "context": {"cluster": "c"}}],
                }
            )
        )
        here = ("--kubeconfig", str(config))
        assert offered(environment, "validate", *here, "--connector-name", "") == ["mine", "other"]
        assert offered(environment, "remove-connector", *here, "--release-name", "mine-l") == [
            "mine-linux-eastus"
        ]
        asked = len(api.requests)
        assert offered(environment, "validate", *here, "-g", "g", "-n", "aks", "--connector-name", "") == []
        assert len(api.requests) == asked
    assert offered(environment, "validate", *here, "--connector-name", "") == []
