"""`vnodectl emulator`: the emulated clouds, for tests and demonstrations."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="emulator", no_args_is_help=True, help="Run an emulated cloud on this machine.")


@app.callback()
def group() -> None:
    """Run an emulated cloud on this machine."""


@app.command()
def serve(
    cloud: Annotated[str, typer.Option(help="The cloud to be: azure or alibaba.")] = "azure",
    bind: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, help="The cloud's API (and Azure's token endpoint); 0: any free port."
        ),
    ] = 0,
    imds_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Azure's metadata endpoint; 0: any free port.")
    ] = 0,
    graph_port: Annotated[int, typer.Option(min=0, max=65535, help="Microsoft Graph; 0: any free port.")] = 0,
    metrics_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Azure Monitor's metrics in batches; 0: any free.")
    ] = 0,
    proxy_port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            help="The CONNECT proxy for clients of Azure's own host names; 0: any free port.",
        ),
    ] = 0,
    control_port: Annotated[
        int, typer.Option(min=0, max=65535, help="The control API, always on 127.0.0.1; 0: any.")
    ] = 0,
    tls_cert: Annotated[
        Path | None, typer.Option(help="The server's certificate (PEM); default: one of its own.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(help="The CA that clients must trust, only announced.")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="What runs Linux groups: podman, docker, process or simulated.")
    ] = "simulated",
    scope: Annotated[
        str,
        typer.Option(
            help="Whose containers these are; one emulator a scope.", show_default="emulator-<cloud>"
        ),
    ] = "",
    state_dir: Annotated[Path | None, typer.Option(help="Keys, certificates and file shares.")] = None,
    network: Annotated[str, typer.Option(help="The container network of the groups.")] = "",
    seed: Annotated[Path | None, typer.Option(help="What exists at the start (JSON).")] = None,
    ready_file: Annotated[Path | None, typer.Option(help="Written once everything listens.")] = None,
) -> None:
    """Serve an emulated cloud until interrupted; prints one line of JSON with its addresses."""
    from vnodectl.emulator.serve import ServeOptions
    from vnodectl.emulator.serve import serve as run

    options = ServeOptions(
        cloud=cloud,
        bind=bind,
        port=port,
        imds_port=imds_port,
        graph_port=graph_port,
        metrics_port=metrics_port,
        proxy_port=proxy_port,
        control_port=control_port,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_ca=tls_ca,
        engine=engine,
        scope=scope,
        state_dir=state_dir,
        network=network,
        seed=seed,
        ready_file=ready_file,
    )
    asyncio.run(run(options, _announce))


@app.command()
def routes(cloud: Annotated[str, typer.Option(help="The cloud: azure or alibaba.")] = "azure") -> None:
    """Print what is emulated, as a Markdown table."""
    from vnodectl.emulator.serve import routes_table

    sys.stdout.write(routes_table(cloud))


def _announce(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
