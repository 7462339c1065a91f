"""`vnodectl emulator` on the command line, as far as it needs no process of its own."""

from __future__ import annotations

import subprocess
import sys

from typer.testing import CliRunner

from vnodectl.cli.emulator import app


def test_the_table_of_what_is_emulated() -> None:
    result = CliRunner().invoke(app, ["routes"])
    assert result.exit_code == 0
    assert "ContainerGroups_CreateOrUpdate" in result.stdout
    assert "ManagedClusters_ListClusterUserCredentials" in result.stdout


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from vnodectl.cli.emulator import app; "
        "heavy = {'aiohttp', 'cryptography', 'azure.identity', 'kubernetes'} & set(sys.modules); "
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
