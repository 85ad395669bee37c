"""What the operator writes, made to be forged: each object as it makes it, with something changed.

Attacks with the operator's own token are made of it. It writes nothing itself.
"""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

from tasksession.api import names
from tasksession.api.access import RoleReference
from tasksession.api.session import TaskSession
from tasksession.lifecycle import manifests
from tasksession.lifecycle.observed import ObservedJob
from tests.attacks.attack import Mechanism, guard
from tests.attacks.stage import Stage
from tests.cluster.api import Object
from tests.support.scene import session_manifest

UID = "00000000-0000-0000-0000-000000000000"


def children(words: str) -> Mechanism:
    """Return the guard on what a session consists of."""
    return guard("operator-child-create", words=words)


def made(words: str) -> Mechanism:
    """Return the guard on Jobs that the operator creates."""
    return guard("operator-job-create", words=words)


def edited(words: str) -> Mechanism:
    """Return the guard on Jobs that the operator edits."""
    return guard("operator-job-update", words=words)


def ceiling(words: str) -> Mechanism:
    """Return the guard on what the operator may hand out."""
    return guard("operator-ceiling", words=words)


def pods(words: str) -> Mechanism:
    """Return the guard on the pods of the operator's Jobs."""
    return guard("operator-pods", status=422, words=("baseline Pod Security Standard", words))


def another(stage: Stage, *, lasts: timedelta = timedelta(minutes=4)) -> names.Identity:
    """Return one more identity of the session's Job, so that names do not collide."""
    return names.Identity(stage.live.identity.uid, int((datetime.now(UTC) + lasts).timestamp()))


def account(stage: Stage, **metadata: Any) -> Object:
    """Return a ServiceAccount as the operator makes it, with something changed in its metadata."""
    body = copy.deepcopy(manifests.service_account(stage.live.session, another(stage), UID))
    return {**body, "metadata": {**body["metadata"], **metadata}}


def role(stage: Stage, *rules: Object) -> Object:
    """Return the Role of a session's inline rules as the operator makes it, with other rules."""
    return {**manifests.role(stage.live.session, another(stage), UID, ()), "rules": list(rules)}


def binding(stage: Stage, bound: str = "view", *, suffix: str = "-1") -> Object:
    """Return a RoleBinding as the operator makes it."""
    identity = another(stage)
    reference = RoleReference(kind="ClusterRole", name=bound)
    name = identity.name + suffix
    return copy.deepcopy(manifests.role_binding(stage.live.session, identity, UID, name, reference))


def template_job(stage: Stage, *, pod: Object | None = None, **metadata: Any) -> Object:
    """Return the Job of a jobTemplate as the operator makes it, under a name of its own."""
    session = TaskSession.model_validate(stage.alice.create(stage.scene.sessions(), session_manifest(stage.name)))
    body = copy.deepcopy(manifests.job(session))
    body["metadata"] |= metadata
    body["spec"]["template"]["spec"] |= pod or {}
    return body


def timer(stage: Stage, identity: names.Identity) -> Object:
    """Return a timer as the operator makes it."""
    owner = ObservedJob.from_object(stage.live.job)
    return copy.deepcopy(manifests.timer(stage.live.session, owner, identity, datetime.now(UTC)))
