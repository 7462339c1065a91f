from __future__ import annotations

import subprocess
import sys


def test_no_sdk_is_imported_before_a_session_calls() -> None:
    program = (
        "import sys, vnodectl.clouds.alibaba, vnodectl.clouds.alibaba.tags, vnodectl.providers.eci; "
        "vnodectl.clouds.alibaba.AlibabaSettings.from_environment({'HOME': '/nowhere'}); "
        "heavy = {'Tea', 'darabonba', 'alibabacloud_tea_openapi', 'alibabacloud_eci20180808', 'aiohttp', "
        "'cryptography', 'kubernetes', 'requests'} & set(sys.modules); "
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
