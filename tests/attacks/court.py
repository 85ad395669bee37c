"""Where requests are judged: a namespace with a running operator, and what comes of a request in it.

Made by a fixture, once for all attacks on the verdict; each of them has names and a policy of its own. It asks the API
server what was granted, never the operator.
"""

import itertools
from typing import Any

from tasksession.api import names
from tests.attacks.attack import Foiled
from tests.cluster import wait_for
from tests.cluster.api import Api, Object
from tests.cluster.rights import wait_until_holds
from tests.support.scene import bind
from tests.support.world import World

_WAITING = ("PolicyNotFound", "LimitReached", "JobNotFound", "AwaitingApproval")
_numbers = itertools.count(1)


class Court:
    """One attack's view of it: `name` is its own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.name = f"c{next(_numbers)}"
        world.policy = f"{world.namespace}-{self.name}"

    @classmethod
    def prepare(cls, world: World) -> None:
        """Let Jane use all policies here, and Dan too, who has `edit` beside her."""
        rules = [{"apiGroups": ["tasksession.dev"], "resources": ["sessionpolicies"], "verbs": ["use"]}]
        role = {"metadata": {"name": "use-any"}, "rules": rules}
        world.admin.create(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{world.namespace}/roles", role)
        for person in ("jane", "dan"):
            subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": person}
            reference = {"kind": "Role", "apiGroup": "rbac.authorization.k8s.io", "name": "use-any"}
            body = {"metadata": {"name": f"{person}-uses"}, "roleRef": reference, "subjects": [subject]}
            world.admin.create(world.path("RoleBinding"), body)
            wait_until_holds(world.admin.as_user(person), world.namespace, list(rules))
        for granted in ("edit", "tasksession-requester"):
            bind(world.admin, world.namespace, f"dan-{granted}", role=granted, user="dan")

    @property
    def dan(self) -> Api:
        """Another requester, with `use` and `edit` of his own."""
        return self.world.admin.as_user("dan", groups=["system:authenticated"])

    def asks(self, *, policy: Object | None = None, **spec: Any) -> None:
        """Ask as Jane, under a policy with something changed; `Foiled` with reason and message unless it is granted."""
        self.world.set_policy(**(policy or {}))
        self.world.request(self.name, **spec)
        self.judged(self.name)

    def asks_under(self, policy: str) -> None:
        """Ask as Jane under a policy that may not be there."""
        self.world.request(self.name, policy=policy)
        self.judged(self.name)

    def job(self, name: str = "", *, by: Api | None = None, **annotations: str) -> Object:
        """Create, as Jane, a Job with annotations; the policy is among them unless it joins a session."""
        marks = {f"{names.GROUP}/{key}": value for key, value in annotations.items()}
        if "session" not in annotations:
            marks[names.POLICY_ANNOTATION] = self.world.policy
        body = {"metadata": {"name": name or self.name, "annotations": marks}, "spec": self.world.job_spec()}
        return (by or self.world.jane).create(self.world.path("Job"), body)

    def judged(self, name: str, *, waiting: tuple[str, ...] = _WAITING) -> None:
        """Wait for the verdict on a session; `Foiled` unless it is granted. A reason for waiting may be one, too."""
        path = f"{self.world.sessions}/{name}"

        def verdict() -> Object | None:
            found = (self.world.admin.find(path) or {}).get("status", {})
            ready: Object = next((c for c in found.get("conditions", []) if c["type"] == "Ready"), {})
            decided = found.get("state") not in (None, "Pending", "AwaitingApproval") or ready.get("reason") in waiting
            return ready if ready and decided else None

        ready = wait_for(verdict, timeout=30, what=f"the verdict on {name}")
        if ready["reason"] != "Granted":
            uid = self.world.session(name)["metadata"]["uid"]
            assert not self._granted(uid), "it was refused, and yet something was granted"
            raise Foiled(f"{ready['reason']}: {ready['message']}")

    def judged_at_last(self, name: str) -> None:
        """Wait for the verdict on a session that waits for something at first."""
        self.judged(name, waiting=())

    def told(self, job: str, reason: str) -> None:
        """Wait until a Job's Event says why it does not run, and raise `Foiled` with it."""

        def event() -> str | None:
            for each in self.world.admin.list(self.world.path("Event")):
                if each["involvedObject"]["name"] == job and each["reason"] == reason:
                    return str(each["message"])
            return None

        raise Foiled(f"{reason}: {wait_for(event, timeout=30, what=f'an Event {reason} on {job}')}")

    def _granted(self, uid: str) -> list[str]:
        bindings = self.world.admin.list(self.world.path("RoleBinding"))
        return [
            each["metadata"]["name"]
            for each in bindings
            if each["metadata"].get("labels", {}).get(names.SESSION_UID_LABEL) == uid
        ]
