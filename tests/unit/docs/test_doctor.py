"""docs/operations.md shows the doctor as it is: its output, its areas and its exit status."""

from __future__ import annotations

import copy

import click

from tasksession.cli.main import main
from tasksession.doctor.finding import Area, Severity
from tasksession.doctor.printing import as_text
from tests.support.pages import ROOT, blocks, rows
from tests.unit.doctor.cluster_facts import PLAIN, binding, bound, namespace, report, role, rule, with_roles
from tests.unit.guards.shipped import installed

PAGE = ROOT / "docs" / "operations.md"


def example() -> str:
    """What the doctor prints of a cluster with some faults."""
    items = copy.deepcopy(installed(PLAIN))
    items["validatingadmissionpolicybindings", "tasksession-token"]["spec"]["validationActions"] = ["Audit"]
    template = {"metadata": {"annotations": {"tasksession.dev/policy": "triage"}}}
    edits = binding("e", "edit", "User bob", "Group devs", namespace="shop")
    bind = rule(["bind"], ["clusterroles"], ["rbac.authorization.k8s.io"], resourceNames=["view", "edit"])
    found = report(
        guards=tuple((plural, item) for (plural, _), item in items.items()),
        cluster_roles=with_roles(role("tasksession-operator-ceiling", bind)),
        cluster_role_bindings=bound(binding("admins", "cluster-admin", "Group platform")),
        role_bindings=(edits,),
        namespaces=(namespace("shop"),),
        cron_jobs=({"metadata": {"name": "nightly", "namespace": "shop"}, "spec": {"jobTemplate": template}},),
    )
    return as_text(found, user="ann")


def test_the_example_is_what_the_doctor_prints() -> None:
    """Word for word."""
    shown = [block for block in blocks(PAGE, "text") if block.startswith("Examined as")]
    assert [block.strip() for block in shown] == [example().strip()]


def test_every_area_and_severity_is_explained() -> None:
    """The tables have what the doctor can say, and nothing else."""
    assert [cells[0] for cells in rows(PAGE, "What it looks at")] == [area.value for area in Area]
    assert [cells[0] for cells in rows(PAGE, "What a finding means")] == [severity.value for severity in Severity]


def test_every_option_is_named() -> None:
    """The page has each of the command's options."""
    assert isinstance(main, click.Group)
    text = PAGE.read_text()
    for option in main.commands["doctor"].params:
        assert f"`{option.opts[0]}" in text, option.opts
