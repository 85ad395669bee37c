"""Writes what the operator compares the guards with, from the chart: `make guards` runs it after a change of a guard.

The chart is rendered with values that occur nowhere else, and each of them becomes a placeholder with a kind; switches
are rendered both ways. A value that guards use and that this module does not know is refused, so that no installation
with a value of its own is taken for a weakened one.
"""

import hashlib
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.build import binaries
from tests.cluster.versions import KUBERNETES, newest

CHART = Path(__file__).resolve().parents[2] / "charts" / "tasksession"
FILE = Path(__file__).resolve().parents[2] / "operator" / "tasksession" / "cluster" / "expected_guards.json"

_NAMESPACE = "sentinel-namespace"
_OPERATOR = "sentinel-operator"
#: No other number of a guard is like it.
_SECONDS = 599
#: Values that are lists of strings in the guards' CEL, by path.
_LISTS = (
    "controllers.job",
    "controllers.cronJob",
    "controllers.garbageCollector",
    "controllers.rootCA",
    "tokens.sparedAudiences",
    "appliers",
    "ceiling.clusterRoles",
)
#: What the ceiling's rules are, and how they stand in CEL.
_RULES = "ceiling.rules"
_RULE = {
    "apiGroups": ["sentinel-group"],
    "resources": ["sentinel-resource"],
    "resourceNames": ["sentinel-name"],
    "verbs": ["sentinel-verb"],
}
_IN_CEL = {
    "[{'verbs': ['sentinel-verb'], 'names': ['sentinel-name']}]": "${rules:ceiling.rules}",
    "{'sentinel-group/sentinel-resource': [0]}": "${numbers:ceiling.rules}",
}
#: Values that change the text of a guard, with all that each may be.
_SWITCHES: dict[str, tuple[Any, ...]] = {
    "jobTemplate.enabled": (True, False),
    "jobTemplate.podSecurity": ("baseline", "privileged"),
}
_OTHERS = ("serviceAccount.name", "excludedNamespaces", "maxGraceSeconds")
#: Names, labels and versions of the release: they are not in any guard's spec.
_NOT_IN_SPECS = re.compile(r"\.Values\.operator\b")


def source() -> str:
    """Return the digest of the files that guards are rendered from."""
    digest = hashlib.sha256()
    for path in [CHART / "templates" / "_helpers.tpl", *sorted((CHART / "templates" / "guards").glob("*.yaml"))]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def content() -> str:
    """Render the chart in each way and return the file's text."""
    _know_every_value()
    guards: dict[tuple[str, str], dict[str, Any]] = {}
    bindings: dict[str, Any] = {}
    for choice in itertools.product(*_SWITCHES.values()):
        for item in _rendered(dict(zip(_SWITCHES, choice, strict=True))):
            kind, name = item["kind"], item["metadata"]["name"]
            spec = _with_placeholders(item["spec"])
            if kind.endswith("Binding"):
                bindings[spec["policyName"]] = spec
            elif kind.endswith("AdmissionPolicy"):
                guard = guards.setdefault((kind, name), {"kind": kind, "name": name, "policies": []})
                if spec not in guard["policies"]:
                    guard["policies"].append(spec)
    made = [{**guard, "binding": bindings[guard["name"]]} for _, guard in sorted(guards.items())]
    text = json.dumps(
        {"source": source(), "values": _upstream(), "guards": made}, indent=1, ensure_ascii=False, sort_keys=True
    )
    if "sentinel" in text or re.search(rf"\b{_SECONDS}\b", text):
        raise ValueError("a value stands in a guard in a form that has no placeholder: teach this module that form")
    return text + "\n"


def _upstream() -> dict[str, str]:
    """Return the lists that the chart brings, as they stand in CEL; the ceiling is for everybody to write."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    found = {}
    for path in _LISTS:
        if path.startswith("ceiling."):
            continue
        inner = values
        for part in path.split("."):
            inner = inner[part]
        found[f"strings:{path}"] = "[" + ", ".join(f"'{each}'" for each in inner) + "]"
    return found


def _know_every_value() -> None:
    files = [CHART / "templates" / "_helpers.tpl", *(CHART / "templates" / "guards").glob("*.yaml")]
    text = _NOT_IN_SPECS.sub("", "\n".join(path.read_text() for path in files))
    used = set(re.findall(r"\.Values\.([A-Za-z]+(?:\.[A-Za-z]+)*)", text))
    unknown = used - {*_LISTS, *_SWITCHES, *_OTHERS, _RULES}
    if unknown:
        raise ValueError(f"guards use chart values that this module does not know: {', '.join(sorted(unknown))}")


def _rendered(switches: dict[str, Any]) -> list[dict[str, Any]]:
    values: dict[str, Any] = {}
    lists = {path: [f"sentinel-{path}"] for path in _LISTS}
    others = dict(zip(_OTHERS, (_OPERATOR, ["sentinel-excluded"], _SECONDS), strict=True))
    for path, value in {**lists, **others, **switches, _RULES: [_RULE]}.items():
        *parents, last = path.split(".")
        inner = values
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    version = newest(KUBERNETES)
    helm = binaries(["helm"], kubernetes=version)["helm"]
    done = subprocess.run(
        [str(helm), "template", "sentinel", str(CHART), "--namespace", _NAMESPACE, "--kube-version", version,
         "--values", "-"],
        input=json.dumps(values), capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = [item for item in yaml.safe_load_all(done.stdout) if item]
    return [item for item in found if "tasksession.dev/guard" in (item["metadata"].get("labels") or {})]


def _with_placeholders(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_placeholders(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_placeholders(inner) for inner in value]
    return _placeholders_in(value) if isinstance(value, str) else value


def _placeholders_in(text: str) -> str:
    if "${" in text:
        raise ValueError(f"a guard has ${{ in its text, which begins a placeholder: {text}")
    for found, placeholder in _IN_CEL.items():
        text = text.replace(found, placeholder)
    listed = re.compile(r"\['sentinel-[A-Za-z.]+'(?:, 'sentinel-[A-Za-z.]+')*\]")
    text = listed.sub(lambda m: "${strings:" + "+".join(re.findall(r"'sentinel-([A-Za-z.]+)'", m[0])) + "}", text)
    text = text.replace(f"sentinel-excluded|{_NAMESPACE}", "${namespaces:excludedNamespaces}")
    text = text.replace(f"system:serviceaccount:{_NAMESPACE}:{_OPERATOR}", "${user:operator}")
    text = text.replace(_NAMESPACE, "${namespace:operator}")
    return re.sub(rf"\b{_SECONDS}\b", "${seconds:maxGraceSeconds}", text)


def main() -> int:
    """Write the file."""
    try:
        FILE.write_text(content(), encoding="utf-8")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a command line prints
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
