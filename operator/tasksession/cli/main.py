"""`tasksession-operator`: the commands and their options, each also an environment variable.

The entry point of the package. It validates what it is told and ends with one sentence and a status other than 0
where that cannot work; it never prints a traceback for a mistake of the user's. A command imports what it needs when it
is called: the clients take most of a second to import, and neither help nor a wrong option shall wait for them.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from tasksession import __version__

if TYPE_CHECKING:
    from tasksession.observability.logs import LogFormat

_SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


#: Of the commands that run in a pod as well.
_kubeconfig = click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="KUBECONFIG",
    show_envvar=True,
    help="How to reach the cluster. In a pod, leave it out: the pod's own ServiceAccount is used.",
)


@click.group(context_settings={"auto_envvar_prefix": "TASKSESSION", "help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tasksession-operator")
def main() -> None:
    """Session-scoped privilege for Kubernetes.

    A TaskSession gives one task an identity and rights of its own, for as long as the task runs.
    """


@main.command(context_settings={"auto_envvar_prefix": "TASKSESSION", "show_default": True})
@_kubeconfig
@click.option(
    "--namespaces",
    envvar="TASKSESSION_NAMESPACES",
    show_envvar=True,
    metavar="A,B",
    help="Look after sessions in these namespaces only, separated by commas. Without it: all namespaces.",
)
@click.option(
    "--excluded-namespaces",
    envvar="TASKSESSION_EXCLUDED_NAMESPACES",
    show_envvar=True,
    default="kube-*",
    metavar="A,B",
    help="Never grant anything in these namespaces, separated by commas, * for any characters; its own is always one.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=128,
    envvar="TASKSESSION_WORKERS",
    show_envvar=True,
    help="How many sessions are worked on at once.",
)
@click.option(
    "--sweep-interval",
    type=click.FloatRange(1, 300),
    default=300,
    envvar="TASKSESSION_SWEEP_INTERVAL",
    show_envvar=True,
    help="Seconds between two looks at everything; live sessions are checked against their policy at each.",
)
@click.option(
    "--request-timeout",
    type=click.FloatRange(1, 60),
    default=10,
    envvar="TASKSESSION_REQUEST_TIMEOUT",
    show_envvar=True,
    help="Seconds after which a request to the API server counts as unanswered.",
)
@click.option(
    "--probe-address",
    default="127.0.0.1:8080",
    envvar="TASKSESSION_PROBE_ADDRESS",
    show_envvar=True,
    metavar="HOST:PORT",
    help="Where /livez and /readyz are served.",
)
@click.option(
    "--lease-namespace",
    envvar="TASKSESSION_LEASE_NAMESPACE",
    show_envvar=True,
    metavar="NAMESPACE",
    help="Where the Lease is that lets one replica work at a time. In a pod: its own namespace; elsewhere: none.",
)
@click.option(
    "--lease-name",
    default="tasksession-operator",
    envvar="TASKSESSION_LEASE_NAME",
    show_envvar=True,
    metavar="NAME",
    help="The Lease's name.",
)
@click.option(
    "--identity",
    envvar=["TASKSESSION_IDENTITY", "POD_NAME"],
    show_envvar=True,
    metavar="NAME",
    help="Who this replica is in the Lease; it must be its own. Without it: host name and a random part.",
)
@click.option(
    "--log-format",
    type=click.Choice(["json", "console"]),
    default="json",
    envvar="TASKSESSION_LOG_FORMAT",
    show_envvar=True,
    help="JSON for machines, console for people.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    envvar="TASKSESSION_LOG_LEVEL",
    show_envvar=True,
    help="The least severe level that is logged.",
)
def run(
    *,
    kubeconfig: Path | None,
    namespaces: str | None,
    excluded_namespaces: str,
    workers: int,
    sweep_interval: float,
    request_timeout: float,
    probe_address: str,
    lease_namespace: str | None,
    lease_name: str,
    identity: str | None,
    log_format: LogFormat,
    log_level: str,
) -> None:
    """Run the operator.

    It needs the chart's custom resources, roles and guards in the cluster. It stops on SIGTERM or SIGINT, after the
    sessions it is at have come to rest. Exit status: 0 after a stop, 1 where it cannot work (one sentence says why),
    2 for a wrong option.
    """
    host, port = _address(probe_address)
    from tasksession.cli.run import run_operator
    from tasksession.engine.settings import Settings
    from tasksession.observability.logs import configure

    own_namespace = _own_namespace() if kubeconfig is None else None
    excluded = [*_names(excluded_namespaces), *filter(None, [own_namespace])]
    settings = Settings(
        kubeconfig=kubeconfig,
        namespaces=_names(namespaces or ""),
        excluded_namespaces=tuple(dict.fromkeys(excluded)),
        workers=workers,
        sweep_interval=sweep_interval,
        request_timeout=request_timeout,
        probe_host=host,
        probe_port=port,
        lease_namespace=lease_namespace or own_namespace,
        lease_name=lease_name,
        identity=identity or f"{socket.gethostname()}-{secrets.token_hex(4)}",
    )
    configure(log_format, log_level)
    problem = run_operator(settings)
    if problem is not None:
        raise click.ClickException(problem)


@main.command(context_settings={"auto_envvar_prefix": "TASKSESSION", "show_default": True})
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="KUBECONFIG",
    show_envvar=True,
    help="How to reach the cluster. Without it: ~/.kube/config, or in a pod the pod's own ServiceAccount.",
)
@click.option("--context", metavar="NAME", help="The context of the kubeconfig. Without it: its current one.")
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    metavar="NAME",
    help="Look at this namespace only; can be repeated. Without it: all in which sessions are or may be.",
)
@click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Text for people, JSON for machines.",
)
@click.option(
    "--request-timeout",
    type=click.FloatRange(1, 300),
    default=30,
    help="Seconds after which a request to the API server counts as unanswered.",
)
def doctor(
    *,
    kubeconfig: Path | None,
    context: str | None,
    namespaces: tuple[str, ...],
    output: Literal["text", "json"],
    request_timeout: float,
) -> None:
    """Look for what weakens the product on a cluster, and say what to do.

    It only reads. Run it as an administrator: what may not be read is reported as not checked. Exit status: 0 where
    all is fine, but for notes; 1 with a failure, or where the cluster cannot be examined; 2 for a wrong option;
    3 with warnings, or where something could not be checked.
    """
    from tasksession.cli.doctor import CannotExamineError, run_doctor
    from tasksession.doctor.printing import as_json, as_text

    if kubeconfig is None and _own_namespace() is None:
        kubeconfig = Path("~/.kube/config").expanduser()
    try:
        user, report = run_doctor(
            kubeconfig=kubeconfig, context=context, namespaces=namespaces, request_timeout=request_timeout
        )
    except CannotExamineError as error:
        raise click.ClickException(str(error)) from error
    write = as_json if output == "json" else as_text
    click.echo(write(report, user=user))
    sys.exit(report.status)


@main.command(context_settings={"auto_envvar_prefix": "TASKSESSION", "show_default": True})
@_kubeconfig
@click.option(
    "--operator-namespace",
    metavar="NAMESPACE",
    help="Where the operator and its Lease are. In a pod: its own namespace; elsewhere: tasksession-system.",
)
@click.option("--namespace", default="default", metavar="NAMESPACE", help="Where TaskSessions are tried, as dry runs.")
@click.option(
    "--policy",
    default="tasksession-test",
    metavar="NAME",
    help="The SessionPolicy that they name. It need not exist; whoever runs this needs the verb use on it.",
)
@click.option("--timeout", type=click.FloatRange(0, 600), default=60, help="Seconds in which all of it has to hold.")
def check(
    *, kubeconfig: Path | None, operator_namespace: str | None, namespace: str, policy: str, timeout: float
) -> None:
    """Try what every session needs: an operator at work, guards in force, a TaskSession let in, another kept out.

    The chart's `helm test` runs it. It stores nothing: TaskSessions are created as dry runs. Exit status: 0 where all
    holds, 1 where something does not, with a sentence that says what; 2 for a wrong option.
    """
    from tasksession.cli.check import run_check

    own = _own_namespace() if kubeconfig is None else None
    steps = run_check(
        kubeconfig=kubeconfig,
        operator_namespace=operator_namespace or own or "tasksession-system",
        namespace=namespace,
        policy=policy,
        timeout=timeout,
    )
    for step in steps:
        click.echo(f"{'ok' if step.holds else 'failed'}: {step.text}")
    sys.exit(0 if all(step.holds for step in steps) else 1)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter(f"{text} is not HOST:PORT, such as 0.0.0.0:8080", param_hint="--probe-address")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - asked for by leaving the host out


def _own_namespace() -> str | None:
    """The namespace of the pod this runs in, None outside a cluster."""
    if "KUBERNETES_SERVICE_HOST" not in os.environ or not _SERVICE_ACCOUNT_NAMESPACE.is_file():
        return None
    return _SERVICE_ACCOUNT_NAMESPACE.read_text().strip() or None
