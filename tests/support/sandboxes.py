"""Real clusters for tests, driven as a user would: by command lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_BUILD_SECONDS = 1800


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox. `environment` is that of `vnodectl sandbox env`, on top of the session's own."""

    home: Path
    name: str
    environment: Mapping[str, str] = field(repr=False)

    @property
    def kubeconfig(self) -> str:
        return self.environment["KUBECONFIG"]

    def run(self, *argv: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program (`vnodectl`, `kubectl`, `helm`, …) as a user of this sandbox would."""
        done = run(*argv, env=self.environment, stdin=stdin)
        if check:
            assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout}{done.stderr}"
        return done


def run(*argv: str, env: Mapping[str, str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    """`vnodectl` is this checkout's, whatever PATH says."""
    ours = {"vnodectl": [sys.executable, "-m", "vnodectl"], "python": [sys.executable]}
    own = ours.get(argv[0], [argv[0]])
    return subprocess.run(
        [*own, *argv[1:]],
        env=dict(env),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )


def clean_environment(home: Path) -> dict[str, str]:
    """Ours without anything that names a cluster or a cloud."""
    foreign = ("AZURE_", "ALIBABA_", "VNODECTL_", "KUBECONFIG")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "VNODECTL_SANDBOX_HOME": str(home)}


def start(home: Path, name: str, *options: str) -> Sandbox:
    env = clean_environment(home)
    done = run("vnodectl", "sandbox", "up", "--name", name, *options, env=env)
    assert done.returncode == 0, done.stderr
    told = run("vnodectl", "sandbox", "env", "--name", name, "-o", "json", env=env)
    document = json.loads(told.stdout)
    env.update(document["variables"])
    if document["pathFirst"]:
        env["PATH"] = f"{document['pathFirst']}{os.pathsep}{env['PATH']}"
    return Sandbox(home, name, env)


def stop(home: Path, name: str) -> None:
    done = run("vnodectl", "sandbox", "down", "--name", name, env=clean_environment(home))
    assert done.returncode == 0, done.stderr
