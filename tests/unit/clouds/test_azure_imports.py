from __future__ import annotations

import subprocess
import sys


def test_no_sdk_is_imported_before_a_session_is_opened() -> None:
    program = (
        "import sys, vnodectl.clouds.azure, vnodectl.clouds.azure.tags, vnodectl.providers.aci; "
        "vnodectl.clouds.azure.AzureSettings.from_environment({}); "
        "heavy = {'azure', 'aiohttp', 'msal', 'cryptography', 'kubernetes'} & set(sys.modules); "
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
