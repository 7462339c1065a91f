"""`make bench`, with options in BENCH_ARGS: `--only burst --sizes 200 --kwok PROGRAM --kwok-config FILE`.

Nothing here passes or fails: figures of one machine at one time mean little, ratios of one run mean more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

from support.sandboxes import clean_environment, start, stop

from bench import report, resting
from bench.load import burst
from bench.subjects import Cluster, Node, agent, floor, kwok
from vnodectl import __version__
from vnodectl.kube.config import connect
from vnodectl.settings import sandbox_home

JSON = dict[str, Any]
Opener = Callable[[Cluster, str], AbstractAsyncContextManager[Node]]

PARTS = ("burst", "memory", "strangers", "restart")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--sizes", default="200,1000,5000", help="pods of each burst")
    parser.add_argument("--rounds", type=int, default=1, help="how often each burst is measured")
    parser.add_argument("--kwok", default="", metavar="PROGRAM", help="measure this kwok as well")
    parser.add_argument("--kwok-config", default="", metavar="FILE", help="its stages of pods and nodes")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--rest", default="0,1000,5000", help="pods at which memory is read")
    parser.add_argument("--json", default="bench.json", metavar="FILE", help="where the raw figures go")
    return parser.parse_args()


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(",") if number)


async def measure(options: argparse.Namespace, cluster: Cluster) -> JSON:
    parts = options.only.split(",")
    version = await cluster.client.get("/version")
    result: JSON = {
        "vnodectl": __version__,
        "python": platform.python_version(),
        "kubernetes": version["gitVersion"],
        "cores": os.cpu_count(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if "burst" in parts:
        result["bursts"] = await bursts(options, cluster)
    if "restart" in parts:
        say("restart with 1000 pods")
        result["restart"] = await resting.restart(cluster, 1000)
    if "memory" in parts:
        say(f"memory at {options.rest} pods")
        result["resting"] = await resting.memory(cluster, numbers(options.rest))
        await resting.tidy(cluster)
    if "strangers" in parts:
        say("memory among strangers")
        result["strangers"] = await resting.strangers(cluster, 5000, 10000)
    return result


async def bursts(options: argparse.Namespace, cluster: Cluster) -> list[JSON]:
    subjects: dict[str, Opener] = {"floor": floor, "agent": agent}
    if options.kwok:
        subjects["kwok"] = partial(kwok, program=options.kwok, stages=options.kwok_config)
    found = []
    for size in numbers(options.sizes):
        for number in range(options.rounds):
            for name, opened in subjects.items():
                node = f"bench-{name}-{size}-{number}"
                say(f"burst of {size} pods: {name}")
                async with opened(cluster, node) as measured:
                    figures = await burst(cluster.client, measured.subject, node, size, node)
                say(f"  {figures['running_seconds']:.1f} s, {figures['gone_seconds']:.1f} s")
                found.append({"subject": name, "round": number, **figures})
    return found


async def main(options: argparse.Namespace) -> None:
    name = f"bench-{os.getpid()}"
    home = sandbox_home().absolute()
    say(f"starting a control plane ({name})")
    sandbox = await asyncio.to_thread(start, home, name, "--nodes", "0", "--cloud", "none")
    try:
        with tempfile.TemporaryDirectory(prefix="vnodectl-bench-") as work:
            async with await connect(sandbox.kubeconfig) as client:
                cluster = Cluster(sandbox.kubeconfig, client, Path(work), clean_environment(home))
                result = await measure(options, cluster)
    finally:
        await asyncio.to_thread(stop, home, name)
    Path(options.json).write_text(json.dumps(result, indent=1) + "\n")
    sys.stdout.write(report.text(result))
    say(f"raw figures: {options.json}")


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    asyncio.run(main(arguments()))
