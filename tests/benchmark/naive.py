"""A kopf operator of the plain kind: create and delete handlers, the synchronous client, kopf's own settings.

It is what one writes first, and what the benchmark compares with: for each NaiveSession it makes the objects that a
session consists of. It runs as a process of its own (`python -m tests.benchmark.naive`), as the administrator; it has
no policy, no checks and no guards of its own, which is to its advantage.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kopf
import yaml
from kubernetes import client, config

from tests.cluster import process
from tests.cluster.api import Api
from tests.cluster.waiting import wait_for

GROUP = "benchmark.example"
_PLURAL = "naivesessions"
_RBAC = "rbac.authorization.k8s.io"
_STARTED = "Initial authentication has finished"

DEFINITION = f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {_PLURAL}.{GROUP}}}
spec:
  group: {GROUP}
  scope: Namespaced
  names: {{plural: {_PLURAL}, singular: naivesession, kind: NaiveSession}}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {{status: {{}}}}
      schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"""


def created(*, name: str, namespace: str | None, spec: Mapping[str, Any], body: Any, **_: Any) -> None:
    """Make Job, timer, ServiceAccount and RoleBinding, write the status, release the Job."""
    batch, core, rbac = client.BatchV1Api(), client.CoreV1Api(), client.RbacAuthorizationV1Api()
    job = {"metadata": {"name": name}, "spec": dict(spec["job"])}
    kopf.adopt(job, owner=body)
    made = batch.create_namespaced_job(namespace, job)
    child = f"{name}-identity"
    marker = {"naive": child}
    container = {"name": "timer", "image": "timer"}
    timer = {
        "metadata": {"name": child},
        "spec": {
            "parallelism": 0,
            "completions": 1,
            "activeDeadlineSeconds": spec["seconds"],
            "ttlSecondsAfterFinished": 0,
            "manualSelector": True,
            "selector": {"matchLabels": marker},
            "template": {
                "metadata": {"labels": marker},
                "spec": {"restartPolicy": "Never", "containers": [container]},
            },
        },
    }
    kopf.adopt(timer, owner=body)
    batch.create_namespaced_job(namespace, timer)
    account = {"metadata": {"name": child}}
    kopf.adopt(account, owner=body)
    core.create_namespaced_service_account(namespace, account)
    binding = {
        "metadata": {"name": child},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": spec["role"]},
        "subjects": [{"kind": "ServiceAccount", "name": child, "namespace": namespace}],
    }
    kopf.adopt(binding, owner=body)
    rbac.create_namespaced_role_binding(namespace, binding)
    status = {"status": {"state": "Active", "job": made.metadata.uid}}
    client.CustomObjectsApi().patch_namespaced_custom_object_status(GROUP, "v1", namespace, _PLURAL, name, status)
    batch.patch_namespaced_job(name, namespace, {"spec": {"suspend": False}})


def deleted(*, name: str, namespace: str | None, **_: Any) -> None:
    """Take the rights and the identity away."""
    child = f"{name}-identity"
    client.RbacAuthorizationV1Api().delete_namespaced_role_binding(child, namespace)
    client.BatchV1Api().delete_namespaced_job(child, namespace, propagation_policy="Background")
    client.CoreV1Api().delete_namespaced_service_account(child, namespace)


class NaiveProcess:
    """The naive operator as a process. Use it as a context manager."""

    def __init__(self, *, kubeconfig: Path, folder: Path, namespace: str) -> None:
        self._kubeconfig = kubeconfig
        self._folder = folder
        self._namespace = namespace
        self._running: process.Record

    def __enter__(self) -> NaiveProcess:
        api = Api.from_kubeconfig(self._kubeconfig)
        api.apply(yaml.safe_load(DEFINITION))
        api.wait(lambda each: each.get(f"/apis/{GROUP}/v1"), what="the naive operator's kind")
        log = self._folder / "naive.log"
        self._running = process.start(
            [sys.executable, "-m", "tests.benchmark.naive", self._namespace],
            record=self._folder / "naive.pid",
            log=log,
            environment={"KUBECONFIG": str(self._kubeconfig)},
        )
        try:
            wait_for(lambda: _STARTED in log.read_text(), timeout=60, what="the naive operator to have started")
        except TimeoutError:
            process.end(self._running)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # Nothing is asked of its stop, for which kopf takes some seconds.
        process.end(self._running)

    def signal(self, number: Any) -> None:
        """Send it a signal."""
        process.send(self._running, number)


def main() -> None:
    """Run the operator for one namespace until it is told to stop."""
    kopf.configure()
    config.load_kube_config(os.environ["KUBECONFIG"])
    kopf.on.create(GROUP, "v1", _PLURAL)(created)
    kopf.on.delete(GROUP, "v1", _PLURAL)(deleted)
    kopf.run(namespaces=[sys.argv[1]], standalone=True)


if __name__ == "__main__":
    main()
