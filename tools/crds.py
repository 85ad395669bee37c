"""Write the CustomResourceDefinitions and the field reference from the models: `python -m tools.crds`.

Called by people who changed a model, and with `--check` by the tests and the lint step, which fail when a written file
is stale. The chart carries identical copies, so that what is rendered and removed by Helm is what is tested. The same
models always give the same bytes.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tasksession.api.approval import SessionApproval
from tasksession.api.model import KubernetesModel, rule
from tasksession.api.names import GROUP, VERSION
from tasksession.api.policy import SessionPolicy
from tasksession.api.session import INITIAL_STATUS, TaskSession
from tools.reference import render
from tools.schema import structural

_DIRECTORIES = ("crds", "charts/tasksession/files/crds")
_REFERENCE = "docs/reference/api.md"
_HEADER = "# Generated from the models by `python -m tools.crds`: change those, then run it again.\n"


class Column(NamedTuple):
    """A column of `kubectl get`; a wide one is shown with `-o wide` only."""

    name: str
    path: str
    kind: str = "string"
    wide: bool = False


class Kind(NamedTuple):
    """One kind as it is published: its model, its names, and how `kubectl get` shows it."""

    model: type[KubernetesModel]
    plural: str
    short_name: str
    namespaced: bool
    columns: tuple[Column, ...]
    initial_status: dict[str, Any] | None = None
    root_rules: tuple[dict[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The kind's name, which is its model's."""
        return self.model.__name__


_AGE = Column("Age", ".metadata.creationTimestamp", "date")
KINDS = (
    Kind(
        model=TaskSession,
        plural="tasksessions",
        short_name="ts",
        namespaced=True,
        columns=(
            Column("State", ".status.state"),
            Column("Policy", ".spec.policy"),
            Column("Task", ".status.task"),
            Column("Requester", ".spec.requester.username"),
            # A string: a date to come would be shown as <invalid>.
            Column("Expires", ".status.deadline"),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', wide=True),
            Column("ServiceAccount", ".status.serviceAccountName", wide=True),
            _AGE,
        ),
        initial_status=INITIAL_STATUS,
        # The name is a label's value on everything the session owns, and its Job's name.
        root_rules=(rule("self.metadata.name.size() <= 63", "metadata.name has at most 63 characters"),),
    ),
    Kind(
        model=SessionPolicy,
        plural="sessionpolicies",
        short_name="tsp",
        namespaced=False,
        columns=(
            Column("MaxTTL", ".spec.maxTTL"),
            Column("Tasks", ".spec.tasks"),
            Column("Approvals", ".spec.approval.required", "integer"),
            Column("Suspended", ".spec.suspended", "boolean"),
            _AGE,
        ),
    ),
    Kind(
        model=SessionApproval,
        plural="sessionapprovals",
        short_name="tsa",
        namespaced=True,
        columns=(
            Column("Session", ".spec.sessionRef.name"),
            Column("Decision", ".spec.decision"),
            Column("Approver", ".spec.approver.username"),
            _AGE,
        ),
    ),
)


def custom_resource_definition(kind: Kind) -> dict[str, Any]:
    """Build the CustomResourceDefinition of a kind."""
    root = structural(kind.model)
    root["properties"] |= {
        "apiVersion": {"description": f"{GROUP}/{VERSION}.", "type": "string"},
        "kind": {"description": f"{kind.name}.", "type": "string"},
        "metadata": {"type": "object"},
    }
    root["required"] = ["spec"]
    if kind.root_rules:
        root["x-kubernetes-validations"] = list(kind.root_rules)
    version: dict[str, Any] = {"name": VERSION, "served": True, "storage": True}
    if kind.initial_status is None:
        root["properties"].pop("status", None)
    else:
        # kstatus takes an object without a status for a finished one.
        root["properties"]["status"]["default"] = kind.initial_status
        version["subresources"] = {"status": {}}
    version["additionalPrinterColumns"] = [
        {"name": column.name, "type": column.kind, "jsonPath": column.path, **({"priority": 1} if column.wide else {})}
        for column in kind.columns
    ]
    version["schema"] = {"openAPIV3Schema": root}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short_name],
                # Not the singular's name: kubectl would take `get tasksession` for all three kinds.
                "categories": ["tasksession-all"],
            },
            "versions": [version],
        },
    }


class _Dumper(yaml.SafeDumper):
    """Writes every value in full, and lists indented, as people write them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


# PyYAML reads and writes a plain `y` as text; the parsers of kubectl and Helm read it as true.
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("[yYnN]$"), list("yYnN"))


def generated() -> Iterator[tuple[str, str]]:
    """Give the path, from the repository's root, and the text of every generated file."""
    definitions = [custom_resource_definition(kind) for kind in KINDS]
    for kind, definition in zip(KINDS, definitions, strict=True):
        text = _HEADER + yaml.dump(definition, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
        for directory in _DIRECTORIES:
            yield f"{directory}/{GROUP}_{kind.plural}.yaml", text
    yield _REFERENCE, render(definitions)


def stale(root: Path) -> list[str]:
    """Name the generated files under `root` that are missing or differ from what the models give now."""
    found = []
    for path, text in generated():
        file = root / path
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            found.append(path)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Write all generated files, or with `--check` say which are stale; the exit status is 1 where one is."""
    parser = argparse.ArgumentParser(prog="python -m tools.crds", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a file is stale")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[3], help="the repository's root")
    options = parser.parse_args(arguments)
    if options.check:
        outdated = stale(options.root)
        if outdated:
            sys.stderr.write(f"Stale: {', '.join(outdated)}. Run `python -m tools.crds`.\n")
        return 1 if outdated else 0
    for path, text in generated():
        file = options.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
