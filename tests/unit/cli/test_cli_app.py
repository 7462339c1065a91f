from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from vnodectl import __version__
from vnodectl.cli import app as program
from vnodectl.cli.app import run_program
from vnodectl.connector.settings import ENVIRONMENT
from vnodectl.errors import ClusterUnreachable, TimedOut, UsageError, VnodectlError

HEAVY = ("aiodocker", "aiohttp", "azure", "cryptography", "kubernetes", "pyhelm3")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(["--version"]) == 0
    assert capsys.readouterr().out == f"vnodectl {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-command"], "error: No such command 'no-such-command'."),
        (["install-connector", "--no-such-option"], "error: No such option: --no-such-option"),
        (["install-connector", "-o", "xml"], "error: Invalid value for '-o' / '--output'"),
        (["install-connector", "stray"], "error: Got unexpected extra argument"),
        (["emulator", "serve", "--port", "99999"], "error: Invalid value for '--port'"),
        (["emulator", "serve", "--control-port", "-1"], "error: Invalid value for '--control-port'"),
        (["sample", "plan9"], "error: Invalid value for 'linux|windows'"),
        (["completion", "tcsh"], "error: Invalid value for"),
    ],
)
def test_wrong_usage_is_told_on_stderr_with_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_program(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(message)
    assert "hint: see vnodectl" in shown.err


@pytest.mark.parametrize("arguments", [[], ["sandbox"], ["emulator"]])
def test_no_command_prints_the_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(arguments) == 2
    shown = capsys.readouterr()
    assert "Usage: vnodectl" in shown.out + shown.err
    assert "error" not in shown.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (VnodectlError("it failed", hint="mend it"), 1),
        (UsageError("it failed", hint="mend it"), 2),
        (TimedOut("it failed", hint="mend it"), 4),
        (ClusterUnreachable("it failed", hint="mend it"), 5),
    ],
)
def test_an_error_is_its_message_its_hint_and_its_exit_code(
    error: VnodectlError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(program, "app", fail)
    assert run_program([]) == code
    assert capsys.readouterr() == ("", "error: it failed\nhint: mend it\n")


@pytest.mark.parametrize(
    "asked",
    [["-o", "json"], ["-ojson"], ["-vo", "json"], ["-vojson"], ["--output", "json"], ["--output=json"]],
)
def test_who_asked_for_json_gets_a_document_of_the_failure_too(
    asked: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing = tmp_path / "missing.yaml"
    assert run_program(["lint", str(missing), *asked]) == 2
    shown = capsys.readouterr()
    message = f"{missing}: No such file or directory"
    assert json.loads(shown.out) == {
        "schemaVersion": 1,
        "kind": "Error",
        "exitCode": 2,
        "message": message,
        "hint": "",
    }
    assert shown.err == f"error: {message}\n"


def test_wrong_usage_and_interruptions_are_documents_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_program(["check", "-o", "json", "--no-such-option"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["message"].startswith("No such option: --no-such-option")
    assert document["hint"] == "see vnodectl check --help"

    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "app", interrupt)
    assert run_program(["check", "-o", "json"]) == 130
    assert json.loads(capsys.readouterr().out)["exitCode"] == 130


def test_a_defect_is_a_document_too_and_shows_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_down(**_: object) -> None:
        raise KeyError("nobody thought of this")

    monkeypatch.setattr(program, "app", break_down)
    assert run_program(["check", "-o", "json"]) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["message"] == "a defect of vnodectl: KeyError"
    assert shown.err.startswith("Traceback (most recent call last):\n")
    assert shown.err.endswith("error: a defect of vnodectl: KeyError\nhint: report it with the lines above\n")


@pytest.mark.parametrize(
    ("how", "code", "err"),
    [
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        (">/dev/full", 1, "error: the result cannot be written: No space left on device\n"),
    ],
)
def test_a_stream_that_takes_nothing_is_no_crash(how: str, code: int, err: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m vnodectl sample linux {how}', sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, err)


@pytest.mark.parametrize("command", [["install-connector", "--help"], ["sandbox", "up", "--help"]])
def test_a_locale_without_our_letters_gets_them_in_ascii(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vnodectl", *command],
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()


@pytest.mark.parametrize(
    "arguments",
    [
        ["show-connector", "--kubeconfig", "~nobody-of-this-name/config"],
        ["show-connector", "--config", "~nobody-of-this-name/config"],
        ["install-connector", "--service-principal", "x", "--client-secret-file", "~nobody-of-this-name/x"],
        ["install-connector", "--managed-identity", "system", "--chart-url", "~nobody-of-this-name/x"],
    ],
)
def test_a_home_of_nobody_is_a_file_that_is_not_there(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_program(arguments) == 2
    assert "~nobody-of-this-name/" in capsys.readouterr().err


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "vnodectl", "--install-completion", "bash"],
        env={**os.environ, "HOME": str(tmp_path / "file")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {tmp_path / 'file'}")
    assert len(done.stderr.splitlines()) == 1


def test_an_interruption_has_code_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "app", interrupt)
    assert run_program([]) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


COMMANDS = ("check", "install-connector", "validate", "remove-connector", "sample", "sandbox", "emulator")


@pytest.mark.parametrize("command", [*COMMANDS, "agent", "completion", "wait-node"])
def test_every_command_has_a_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program([command, "--help"]) == 0
    assert f"Usage: vnodectl {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", ["install-connector", "validate", "remove-connector", "sample", "completion"]
)
def test_a_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_program([command, "--help"])
    assert "Examples:" in capsys.readouterr().out


_LOADED = """
import json, sys
from vnodectl.cli.app import run_program
code = run_program(sys.argv[1:])
print("\\n" + json.dumps([code, sorted({name.split(".")[0] for name in sys.modules})]))
"""


def loaded_by(arguments: list[str], **environment: str) -> tuple[int, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    return code, set(modules)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["install-connector", "--help"],
        ["sandbox", "up", "--help"],
        ["agent", "--help"],
        ["completion", "zsh"],
        ["sample", "linux"],
    ],
)
def test_import_weight(arguments: list[str]) -> None:
    code, modules = loaded_by(arguments)
    assert code == 0
    assert not modules.intersection(HEAVY)


def test_import_weight_of_a_completion(tmp_path: Path) -> None:
    """Completing exits on its own: the interpreter itself lists what it imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "vnodectl"],
        env={
            **os.environ,
            "_VNODECTL_COMPLETE": "complete_bash",
            "COMP_WORDS": "vnodectl inst",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["install-connector"]
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not imported.intersection(HEAVY)


HELPFUL = [
    "check",
    "install-connector",
    "show-connector",
    "upgrade-connector",
    "validate",
    "remove-connector",
    "sysdump",
    "sample",
]


def help_of(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "300")
    assert run_program([command, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", HELPFUL)
def test_examples_name_only_options_that_exist(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = help_of(command, capsys, monkeypatch).split("Examples:")[1].split("╭")[0]
    lines = [" ".join(line.split()) for line in re.sub(r"\\\s*\n", " ", shown).splitlines() if line.strip()]
    assert lines
    for line in lines:
        program, *arguments = shlex.split(re.split(r"[|>]", line)[0])
        assert program == "vnodectl"
        assert run_program([*arguments, "--help"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("command", HELPFUL)
def test_no_flag_looks_as_if_it_took_a_value(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = help_of(command, capsys, monkeypatch).splitlines()
    assert [line for line in lines if "<" in line and "--help" not in line and "<time>" not in line] == (
        [line for line in lines if "linux|windows" in line and "Usage" not in line]
    )


def test_every_variable_of_an_option_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But those of settings that have no option."""
    shown = help_of("install-connector", capsys, monkeypatch)
    unseen = {"arm_endpoint", "authority_host", "ca_bundle", "alibaba_endpoint", "environment_region"}
    for setting, variables in ENVIRONMENT.items():
        if setting not in unseen:
            first = variables if isinstance(variables, str) else variables[0]
            assert re.search(rf"\b{first}\b", shown), first
