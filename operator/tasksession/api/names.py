"""Every name the product reserves: group, labels, annotations, identities and what hangs on them.

Guards, operator and tests agree on these strings. An identity's name carries the uid of its task and its
deadline, so that admission can judge it without a look-up, and so that it is never used twice.
This module must never read anything: a name follows from its arguments alone.
"""

import re
from typing import NamedTuple

GROUP = "tasksession.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

#: On every object the operator creates.
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "tasksession"
SESSION_LABEL = f"{GROUP}/session"
SESSION_UID_LABEL = f"{GROUP}/session-uid"
#: On Jobs that take part in a session: the operator watches Jobs with this label, set to "true".
MANAGED_LABEL = f"{GROUP}/managed"
#: Reserved for the selector of timers; no pod may bear it.
TIMER_LABEL = f"{GROUP}/timer"

#: On a Job: the policy it asks for, or the TaskSession it belongs to.
POLICY_ANNOTATION = f"{GROUP}/policy"
SESSION_ANNOTATION = f"{GROUP}/session"
TTL_ANNOTATION = f"{GROUP}/ttl"
REASON_ANNOTATION = f"{GROUP}/reason"
ACCESS_ANNOTATION = f"{GROUP}/access"
#: On the TaskSession of an annotated Job: why what the Job's annotations say cannot be asked for.
PROBLEM_ANNOTATION = f"{GROUP}/problem"
#: The stamp on a Job: who created it, as the API server authenticated them. Groups are joined by newlines.
REQUESTED_BY_ANNOTATION = f"{GROUP}/requested-by"
REQUESTED_BY_UID_ANNOTATION = f"{GROUP}/requested-by-uid"
REQUESTED_BY_GROUPS_ANNOTATION = f"{GROUP}/requested-by-groups"
#: On a Job's pod template, set at release: the identity that admission puts into the pod.
SERVICE_ACCOUNT_ANNOTATION = f"{GROUP}/service-account"

#: Pods of a session are named so; admission reads nothing else of a pod on exec.
POD_NAME_PREFIX = "tasksession-"

_UID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_IDENTITY = re.compile(rf"ts-(?P<uid>{_UID})-(?P<deadline>[0-9]{{10}})")
_BINDING = re.compile(rf"(?P<identity>ts-{_UID}-[0-9]{{10}})(?:-(?:[0-9]{{1,2}}|token))?")


class Identity(NamedTuple):
    """What the name of a session's ServiceAccount says: whose it is, and until when (Unix seconds)."""

    uid: str
    deadline: int

    @property
    def name(self) -> str:
        """The name of the ServiceAccount, and of the timer, Role and RoleBinding of inline rules."""
        return f"ts-{self.uid}-{self.deadline:010d}"


def parse_identity(name: str) -> Identity | None:
    """Read an identity's name; None for every name that is not exactly one, so that others' `ts-…` names are free."""
    match = _IDENTITY.fullmatch(name)
    return Identity(match["uid"], int(match["deadline"])) if match else None


def identity_of_binding(name: str) -> Identity | None:
    """Read whose RoleBinding (or Role) `name` is: the identity's own name, `<name>-<i>` or `<name>-token`."""
    match = _BINDING.fullmatch(name)
    return parse_identity(match["identity"]) if match else None


def role_binding_name(identity: str, index: int | None) -> str:
    """Name the RoleBinding of `access.roles[index]`, or, for None, that of the inline rules."""
    return identity if index is None else f"{identity}-{index}"


def username(namespace: str, service_account: str) -> str:
    """The user name under which a ServiceAccount's token is authenticated."""
    return f"system:serviceaccount:{namespace}:{service_account}"
