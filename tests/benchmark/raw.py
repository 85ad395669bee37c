"""The limit: the operator's own writes, in its order, by a client that knows beforehand what to write.

It asks nothing, watches nothing, checks nothing and remembers no more than it needs for the next write. What is faster
than this is a different set of writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tasksession.api import names
from tasksession.api.session import TaskSession
from tasksession.lifecycle import manifests
from tasksession.lifecycle.ending import STOPPING_SECONDS
from tasksession.lifecycle.observed import ObservedJob
from tasksession.lifecycle.task_job import seconds_until
from tests.benchmark.connection import Connection
from tests.cluster.api import Object
from tests.support.world import World

_TTL = timedelta(minutes=25)
_MESSAGE = "The rights are live until the deadline or the end of the Job, whichever comes first."


@dataclass(frozen=True, slots=True)
class Granted:
    """What ending a session needs to know."""

    name: str
    uid: str
    job_uid: str
    timer: str
    timer_uid: str
    binding_uid: str
    resource_version: str


class RawOperator:
    """Grants and ends sessions of one world with the operator's token."""

    def __init__(self, connection: Connection, world: World) -> None:
        self._api = connection
        self._jobs = world.path("Job")
        self._accounts = world.path("ServiceAccount")
        self._bindings = world.path("RoleBinding")
        self._sessions = world.sessions

    async def grant(self, session: TaskSession) -> Granted:
        """Make the six writes of a grant: Job, timer, ServiceAccount, RoleBinding, status, release."""
        metadata = session.metadata
        created = metadata.creation_timestamp
        assert created is not None
        deadline = created + _TTL
        job = await self._api.create(self._jobs, manifests.job(session))
        owner = ObservedJob.from_object(job)
        identity = names.Identity(owner.uid, int(deadline.timestamp()))
        now = datetime.now(UTC)
        timer = await self._api.create(self._jobs, manifests.timer(session, owner, identity, now))
        timer_uid = timer["metadata"]["uid"]
        account = await self._api.create(self._accounts, manifests.service_account(session, identity, timer_uid))
        assert session.spec.access is not None
        ((binding_name, reference),) = manifests.role_bindings(identity, session.spec.access)
        binding = await self._api.create(
            self._bindings, manifests.role_binding(session, identity, timer_uid, binding_name, reference)
        )
        facts = {
            "observedGeneration": metadata.generation,
            "task": f"Job/{metadata.name}",
            "deadline": deadline.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "grantedAt": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "serviceAccountName": identity.name,
            "serviceAccountUID": account["metadata"]["uid"],
            "timerUID": timer_uid,
            "jobRef": {"name": metadata.name, "uid": owner.uid},
            "grants": [
                {
                    "role": {"kind": "ClusterRole", "name": "view"},
                    "roleBinding": binding_name,
                    "rulesHash": "sha256:" + "0" * 64,
                }
            ],
        }
        written = await self._write_status(metadata.name, metadata.uid, metadata.resource_version, "Active", now, facts)
        seconds = seconds_until(deadline, now)
        annotations = {names.SERVICE_ACCOUNT_ANNOTATION: identity.name}
        released = {
            "suspend": False,
            "activeDeadlineSeconds": seconds,
            "template": {"metadata": {"annotations": annotations}},
        }
        await self._api.patch(f"{self._jobs}/{metadata.name}", {"metadata": {"uid": owner.uid}, "spec": released})
        return Granted(
            name=metadata.name,
            uid=metadata.uid,
            job_uid=owner.uid,
            timer=identity.name,
            timer_uid=timer_uid,
            binding_uid=binding["metadata"]["uid"],
            resource_version=written["metadata"]["resourceVersion"],
        )

    async def end(self, granted: Granted) -> None:
        """Make the four writes of an early end: RoleBinding, timer, the Job's stop, status."""
        now = datetime.now(UTC)
        await self._api.delete(f"{self._bindings}/{granted.timer}-0", uid=granted.binding_uid)
        await self._api.delete(f"{self._jobs}/{granted.timer}", uid=granted.timer_uid)
        stop = {"metadata": {"uid": granted.job_uid}, "spec": {"activeDeadlineSeconds": STOPPING_SECONDS}}
        await self._api.patch(f"{self._jobs}/{granted.name}", stop)
        facts = {"endedAt": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "endReason": "PolicyWithdrawn"}
        await self._write_status(granted.name, granted.uid, granted.resource_version, "Revoked", now, facts)

    async def _write_status(
        self, name: str, uid: str, version: str, state: str, now: datetime, facts: dict[str, Any]
    ) -> Object:
        moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [
            {"type": kind, "status": "True", "reason": "Granted", "message": _MESSAGE, "lastTransitionTime": moment}
            for kind in ("Ready", "Stalled", "Reconciling", "Granted")
        ]
        body = {
            "metadata": {"uid": uid, "resourceVersion": version},
            "status": {"state": state, "conditions": conditions, **facts},
        }
        return await self._api.patch(f"{self._sessions}/{name}/status", body)
