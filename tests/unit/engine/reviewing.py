"""A reviewer at a scripted API server that allows `make.session()` under `make.policy()`."""

from __future__ import annotations

import time
from typing import Any

from tasksession.api.session import TaskSession
from tasksession.cluster import paths
from tasksession.cluster.client import Object
from tasksession.cluster.questions import Questions
from tasksession.engine.condition_evaluator import ConditionEvaluator
from tasksession.engine.memory import Memory
from tasksession.engine.reviews import Reviewer
from tasksession.guards.values import CEILING_ROLE
from tasksession.lifecycle.case import Cases
from tests.unit import make
from tests.unit.engine.scripted import AnsweringClient

PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
POLICY = paths.one("SessionPolicy", None, "ticket-triage")
REVIEW_OF_USE = paths.collection("SubjectAccessReview")
BIND = {
    "apiGroups": ["rbac.authorization.k8s.io"],
    "resources": ["clusterroles"],
    "resourceNames": ["view"],
    "verbs": ["bind"],
}


def policy_object(*, version: str = "5", **spec: Any) -> Object:
    """A policy as the API server sends it."""
    item = make.policy(**spec).model_dump(mode="json", by_alias=True, exclude_none=True)
    item["metadata"]["resourceVersion"] = version
    return item


def answers(**spec: Any) -> dict[tuple[str, str], Object | Exception]:
    """What the API server says where all is well."""
    return {
        ("GET", POLICY): policy_object(**spec),
        ("GET", paths.one("Namespace", None, make.NAMESPACE)): {"metadata": {"name": make.NAMESPACE, "labels": {}}},
        ("GET", paths.one("ClusterRole", None, "view")): {"metadata": {"name": "view"}, "rules": [PODS]},
        ("GET", paths.one("ClusterRole", None, CEILING_ROLE)): {"rules": [BIND, PODS]},
        ("POST", paths.collection("SelfSubjectRulesReview")): {"status": {"resourceRules": [BIND, PODS]}},
        ("POST", REVIEW_OF_USE): {"status": {"allowed": True}},
    }


class Scene:
    """A reviewer, what it remembers, and its API server."""

    def __init__(self, **spec: Any) -> None:
        self.client = AnsweringClient(answers(**spec))
        now = time.monotonic()
        self.client.clock.observe(make.NOW.strftime("%a, %d %b %Y %H:%M:%S GMT"), sent=now, received=now)
        self.memory, self.cases = Memory(), Cases()
        self.reviewer = Reviewer(
            questions=Questions(self.client),
            memory=self.memory,
            cases=self.cases,
            evaluator=ConditionEvaluator(),
            clock=self.client.clock,
            excluded_namespaces=("kube-system",),
        )

    def know(self, *sessions: TaskSession, **spec: Any) -> None:
        """Have a policy known, and sessions."""
        self.memory.see_policy(policy_object(**spec))
        for session in sessions:
            self.memory.see_session(session)
