"""`vnodectl install-connector`."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vnodectl.cli import options
from vnodectl.cli.inputs import gather, open_account, patterns, secret_from_stdin, selection
from vnodectl.cli.installed import bearable, came_out, exit_code, tell_report, write_installed
from vnodectl.cli.options import ALIBABA, ALIBABA_IDENTITY, CONNECTOR, IDENTITY, RUN, option
from vnodectl.cli.output import Format, Progress, complain, note, progress, warn, write_json
from vnodectl.cli.run import changes, log_to_stderr, run
from vnodectl.errors import EXIT_OK, UsageError, VnodectlError

if TYPE_CHECKING:
    from vnodectl.checks.model import Report
    from vnodectl.connector.plan import Plan
    from vnodectl.connector.redact import Redactor
    from vnodectl.connector.release import Installed
    from vnodectl.connector.settings import Settings

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Choices:
    """What is to be done with the plan, besides the plan itself."""

    dry_run: bool = False
    wait: bool = True
    register_provider: bool = False
    skip: tuple[str, ...] = ()
    drain: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: of the checks, and then a rendering or an installation."""

    plan: Plan
    server: str
    context: str
    report: Report
    manifests: list[JSON] | None = None
    results: tuple[Installed, ...] = ()


def install_connector(
    resource_group: options.ResourceGroup = None,
    cluster_name: options.ClusterName = None,
    cluster_id: options.ClusterId = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    namespace: options.Namespace = None,
    connector_name: options.ConnectorName = None,
    os_type: options.OsType = None,
    cloud: options.Cloud = None,
    location: options.Location = None,
    nodes: Annotated[
        int | None,
        option(
            CONNECTOR,
            "--nodes",
            metavar="N",
            help="How many virtual nodes: NODE, NODE-2 … (default: 1; env: VNODECTL_NODES)",
        ),
    ] = None,
    replicas: Annotated[
        int | None,
        option(
            CONNECTOR,
            "--replicas",
            metavar="N",
            help="How many pods share its nodes, for failover. (default: 1; env: VNODECTL_REPLICAS)",
        ),
    ] = None,
    release_name: options.ReleaseName = None,
    node_name: Annotated[
        str | None,
        option(
            CONNECTOR,
            "--node-name",
            metavar="NAME",
            help="Its first node. (default: virtual-kubelet-RELEASE; Alibaba Cloud: virtual-kubelet)",
        ),
    ] = None,
    webhook: Annotated[
        bool | None,
        option(
            CONNECTOR,
            "--webhook/--no-webhook",
            help=(
                "Whether labels of namespaces and pods send pods there. "
                "(default: on Alibaba Cloud; env: VNODECTL_WEBHOOK)"
            ),
        ),
    ] = None,
    aci_resource_group: options.AciResourceGroup = None,
    subnet_id: options.SubnetId = None,
    subscription: options.Subscription = None,
    tenant: options.Tenant = None,
    service_principal: options.ServicePrincipal = None,
    client_secret: Annotated[
        str | None,
        option(
            IDENTITY,
            "--client-secret",
            metavar="SECRET",
            help="Its secret. Others on this machine can see it in the process list: prefer the next two.",
        ),
    ] = None,
    client_secret_file: Annotated[
        str | None,
        option(
            IDENTITY,
            "--client-secret-file",
            metavar="FILE",
            help="A file with its secret. (env: AZURE_CLIENT_SECRET)",
        ),
    ] = None,
    client_secret_stdin: Annotated[
        bool, option(IDENTITY, "--client-secret-stdin", help="Read its secret from standard input.")
    ] = False,
    client_certificate_file: Annotated[
        str | None,
        option(
            IDENTITY,
            "--client-certificate-file",
            metavar="FILE",
            help="Instead of a secret: its certificate with the private key, PEM.",
        ),
    ] = None,
    workload_identity: options.WorkloadIdentity = None,
    managed_identity: options.ManagedIdentity = None,
    register_provider: Annotated[
        bool,
        option(
            options.AZURE,
            "--register-provider",
            help="Register Microsoft.ContainerInstance where it is not, and wait for it.",
        ),
    ] = False,
    vswitch: options.VSwitch = None,
    security_group: options.SecurityGroup = None,
    resource_group_id: Annotated[
        str | None,
        option(
            ALIBABA,
            "--resource-group-id",
            metavar="ID",
            help="Where container groups are made. (default: the account's; env: ECI_RESOURCE_GROUP_ID)",
        ),
    ] = None,
    vpc_endpoints: Annotated[
        bool,
        option(
            ALIBABA,
            "--vpc-endpoints",
            help=(
                "The connector calls the cloud's APIs inside the VPC. "
                "(env: ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED)"
            ),
        ),
    ] = False,
    access_key: Annotated[
        str | None,
        option(
            ALIBABA_IDENTITY,
            "--access-key",
            metavar="ID",
            help="Its access key's ID; wants a secret. (env: ALIBABA_CLOUD_ACCESS_KEY_ID, ECI_ACCESS_KEY)",
        ),
    ] = None,
    secret_key_file: Annotated[
        str | None,
        option(
            ALIBABA_IDENTITY,
            "--secret-key-file",
            metavar="FILE",
            help="A file with its secret. (env: ALIBABA_CLOUD_ACCESS_KEY_SECRET, ECI_SECRET_KEY)",
        ),
    ] = None,
    secret_key_stdin: Annotated[
        bool, option(ALIBABA_IDENTITY, "--secret-key-stdin", help="Read its secret from standard input.")
    ] = False,
    security_token_file: Annotated[
        str | None,
        option(
            ALIBABA_IDENTITY,
            "--security-token-file",
            metavar="FILE",
            help="A file with the STS token of a temporary key. (env: ALIBABA_CLOUD_SECURITY_TOKEN)",
        ),
    ] = None,
    ram_role: options.RamRole = None,
    oidc_provider: Annotated[
        str | None,
        option(
            ALIBABA_IDENTITY,
            "--oidc-provider",
            metavar="ARN",
            help=(
                "Whose tokens that role trusts. "
                "(default: the cluster's; env: ALIBABA_CLOUD_OIDC_PROVIDER_ARN)"
            ),
        ),
    ] = None,
    ecs_role: Annotated[
        str | None,
        option(ALIBABA_IDENTITY, "--ecs-role", metavar="NAME", help="The RAM role of the cluster's nodes."),
    ] = None,
    chart_url: options.ChartUrl = None,
    image_repository: options.ImageRepository = None,
    image_tag: options.ImageTag = None,
    dry_run: Annotated[
        bool, option(RUN, "--dry-run", help="Print what would be created, secrets masked; change nothing.")
    ] = False,
    wait: Annotated[
        bool,
        option(
            RUN,
            "--wait/--no-wait",
            help="Wait until every node is Ready with a fresh Lease. (default: --wait)",
        ),
    ] = True,
    drain: Annotated[
        bool,
        option(RUN, "--drain", help="With fewer --nodes: first evict the pods of the nodes that go."),
    ] = False,
    force: Annotated[
        bool,
        option(RUN, "--force", help="With fewer --nodes: delete the pods of the nodes that go."),
    ] = False,
    timeout: options.Timeout = None,
    skip: options.Skip = None,
    config: options.Config = None,
    output: options.Output = Format.TABLE,
    verbose: options.Verbose = 0,
) -> None:
    """Install one connector per OS and wait until its virtual nodes are Ready.

    The cluster is the AKS cluster of -g and -n, the ACK cluster of --cluster-id,
    or the current context. The release is called NAME-OS-REGION and its node
    virtual-kubelet-NAME-OS-REGION; on Alibaba Cloud, where pods are always Linux,
    the node is virtual-kubelet.
    Running it again upgrades: to what is said then, whatever was said before.
    Fewer --nodes than before are refused while pods run on those that would go.

    \b
    Examples:
      vnodectl install-connector -g my-group -n my-aks \\
        --service-principal ID --client-secret-file FILE
      vnodectl install-connector -g my-group -n my-aks --os-type Both \\
        --workload-identity ID
      vnodectl install-connector -g my-group -n my-aks --nodes 3 --replicas 2 \\
        --workload-identity ID
      vnodectl install-connector --aci-resource-group my-aci -l eastus \\
        --managed-identity system --dry-run
      vnodectl install-connector --cloud alibaba --cluster-id c123 \\
        --region cn-hangzhou --ram-role ROLE_ARN
      vnodectl install-connector --cloud alibaba --region cn-hangzhou \\
        --vswitch vsw-1 --vswitch vsw-2 --security-group sg-1 \\
        --access-key ID --secret-key-file FILE --release-name ack-virtual-node
    """
    log_to_stderr(verbose)
    _exclude(
        **{
            "--client-secret": client_secret,
            "--client-secret-file": client_secret_file,
            "--client-secret-stdin": client_secret_stdin,
            "--client-certificate-file": client_certificate_file,
        }
    )
    _exclude(**{"--secret-key-file": secret_key_file, "--secret-key-stdin": secret_key_stdin})
    if drain and force:
        raise UsageError("--drain and --force exclude each other")
    if client_secret:
        warn("--client-secret is visible in the process list and the shell's history: use a file or stdin")
    if client_secret_stdin:
        client_secret = secret_from_stdin()
    settings = gather(
        {
            "cloud": cloud,
            "subscription": subscription,
            "tenant": tenant,
            "resource_group": resource_group,
            "cluster_name": cluster_name,
            "cluster_id": cluster_id,
            "kubeconfig": kubeconfig,
            "context": context,
            "namespace": namespace,
            "connector_name": connector_name,
            "release_name": release_name,
            "node_name": node_name,
            "webhook": webhook,
            "os_type": os_type,
            "aci_resource_group": aci_resource_group,
            "location": location,
            "subnet_id": subnet_id,
            "nodes": nodes,
            "replicas": replicas,
            "service_principal": service_principal,
            "client_secret": client_secret,
            "client_secret_file": client_secret_file,
            "client_certificate_file": client_certificate_file,
            "workload_identity": workload_identity,
            "managed_identity": managed_identity,
            "vswitch": vswitch,
            "security_group": security_group,
            "resource_group_id": resource_group_id,
            "vpc_endpoints": vpc_endpoints or None,
            "access_key": access_key,
            "secret_key": (
                secret_from_stdin("--secret-key-stdin", "secret key") if secret_key_stdin else None
            ),
            "secret_key_file": secret_key_file,
            "security_token_file": security_token_file,
            "ram_role": ram_role,
            "oidc_provider": oidc_provider,
            "ecs_role": ecs_role,
            "image_repository": image_repository,
            "image_tag": image_tag,
            "chart_url": chart_url,
            "timeout": timeout,
        },
        config,
    )
    choices = Choices(
        dry_run, wait, register_provider, selection(settings, skip=patterns(skip)).skip, drain, force
    )
    code = _show(run(_install(settings, choices)), output)
    if code != EXIT_OK:
        raise typer.Exit(code)


def _exclude(**said: object) -> None:
    """UsageError where a secret is given in two ways."""
    *most, last = said
    if sum(map(bool, said.values())) > 1:
        raise UsageError(f"{', '.join(most)} and {last} exclude each other", hint="give the secret once")


async def _install(settings: Settings, choices: Choices) -> Outcome:
    from vnodectl.connector.plan import precheck
    from vnodectl.connector.redact import redactor

    precheck(settings)
    redact = redactor(settings.secrets)
    try:
        with progress() as shown:
            return await _carry_out(settings, choices, shown, redact)
    except VnodectlError as error:
        error.message, error.hint = redact(error.message), redact(error.hint)
        raise


async def _carry_out(settings: Settings, choices: Choices, shown: Progress, redact: Redactor) -> Outcome:
    from vnodectl.checks.catalog import run_install_checks
    from vnodectl.checks.registry import open_registries
    from vnodectl.connector import chart, registration, release
    from vnodectl.connector.clouds.alibaba_account import AlibabaAccount
    from vnodectl.connector.clouds.azure_account import AzureAccount
    from vnodectl.connector.cluster import look_up, open_cluster
    from vnodectl.connector.helm import Helm
    from vnodectl.connector.plan import make_plan

    chart.reference(settings.chart_url or "")
    async with AsyncExitStack() as stack:
        account = await stack.enter_async_context(open_account(settings))
        azure = account.session if isinstance(account, AzureAccount) else None
        shown.say("", "looking at the cluster and the cloud")
        cluster = await stack.enter_async_context(open_cluster(settings, account))
        plan = make_plan(settings, await look_up(settings, cluster, account))
        _say_what_ends(plan)
        plan = replace(plan, drain=choices.drain, force=choices.force)
        if choices.register_provider and azure is not None and not choices.dry_run:
            await registration.register(azure, timeout=plan.timeout, say=lambda text: shown.say("", text))
        shown.say("", "checking what an installation needs")
        alibaba = await account.session(plan.target.region) if isinstance(account, AlibabaAccount) else None
        ca_bundle = settings.ca_bundle or ""
        registry = await stack.enter_async_context(open_registries(cluster.kube, ca_bundle=ca_bundle))
        report = bearable(
            await run_install_checks(
                plan,
                kube=cluster.kube,
                azure=azure,
                alibaba=alibaba,
                registry=registry,
                caller=azure.settings.client_id if azure is not None else "",
                skip=choices.skip,
            )
        )
        outcome = Outcome(plan, cluster.kube.server, cluster.kube.context, report)
        if not report.ok:
            return outcome
        helm = await Helm.open(kubeconfig=cluster.kubeconfig, context=cluster.context, redact=redact)
        shown.done("")
        if choices.dry_run:
            return replace(outcome, manifests=await release.render(plan, helm))
        with changes():
            results = await release.install(
                plan,
                cluster.kube,
                helm,
                wait=choices.wait,
                say=lambda connector, text: shown.say(connector.os_type, text),
                redact=redact,
            )
        return replace(outcome, results=results)


def _say_what_ends(plan: Plan) -> None:
    from vnodectl.connector.identity import AccessKey

    if isinstance(plan.identity, AccessKey) and plan.identity.security_token:
        warn("the connector gets a temporary key and stops working when that ends: install again before")
        note("  better: --ram-role, which is renewed by itself")


def _show(outcome: Outcome, output: Format) -> int:
    """Print the outcome and return the exit code."""
    tell_report(outcome.report)
    for result in outcome.results:
        if not result.ok:
            complain(f"{result.connector.os_type}: {result.message}", result.hint)
        for node in result.retired:
            note(f"{result.connector.os_type}: removed node {node}")
    if output is Format.JSON:
        write_json("ConnectorInstallation", _document(outcome))
    elif outcome.manifests is not None:
        import yaml

        sys.stdout.write(yaml.safe_dump_all(outcome.manifests, sort_keys=False))
    elif outcome.results:
        write_installed(outcome.results)
    return _exit_code(outcome)


def _document(outcome: Outcome) -> JSON:
    plan = outcome.plan
    results = {result.connector: result for result in outcome.results}
    document: JSON = {
        "dryRun": outcome.manifests is not None,
        "cluster": {"server": outcome.server, "context": outcome.context},
        "namespace": plan.namespace,
        "cloud": plan.cloud,
        **plan.target.document(),
        "connectors": [
            {
                "os": connector.os_type,
                "release": connector.release,
                "node": connector.node,
                "nodes": list(connector.node_names),
                "replicas": plan.replicas,
                "region": connector.region,
                **came_out(results.get(connector)),
            }
            for connector in plan.connectors
        ],
        "checks": outcome.report.document(),
    }
    if outcome.manifests is not None:
        document["manifests"] = outcome.manifests
    return document


def _exit_code(outcome: Outcome) -> int:
    """That of the checks, or of the failed releases."""
    return exit_code(outcome.results) if outcome.report.ok else outcome.report.exit_code()
