"""Looks at everything afresh every few minutes: what the watch missed, rights without a living session, identities
that are gone, policies that changed.

The operator has it look at sessions and Jobs before any worker starts, and then runs it in full, at once and at an
interval. It deletes only what it has confirmed by a fresh read, and only by name and uid.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from tasksession.api import admission, names
from tasksession.api.conditions import State
from tasksession.api.session import TaskSession
from tasksession.cluster import paths
from tasksession.cluster.client import Client, Object
from tasksession.cluster.errors import ClusterError, Conflict, Missing
from tasksession.cluster.expected_guards import GUARD_LABEL
from tasksession.engine.guards import Guards
from tasksession.engine.memory import Memory, readable
from tasksession.engine.rechecks import Rechecks
from tasksession.engine.schedule import Schedule
from tasksession.lifecycle import manifests
from tasksession.lifecycle.asking import is_unattended
from tasksession.lifecycle.case import is_ungranted
from tasksession.lifecycle.key import key_of
from tasksession.lifecycle.observed import ObservedJob

_logger = logging.getLogger(__name__)

#: RoleBindings first: they are the rights. The timer takes the others with it.
_CHILD_KINDS = ("RoleBinding", "Job", "ServiceAccount", "Role")
_DELETABLE_KINDS = ("RoleBinding", "Job")


@dataclass(frozen=True, slots=True)
class _Children:
    """The children that exist, by kind, namespace and name: their uids, and what the RoleBindings among them give."""

    uids: dict[tuple[str, str, str], str] = field(default_factory=dict)
    given: dict[tuple[str, str], manifests.Given] = field(default_factory=dict)

    def has(self, kind: str, namespace: str, name: str) -> bool:
        """Whether an object exists."""
        return (kind, namespace, name) in self.uids


class Sweep:
    """One look at the whole of what this operator is responsible for."""

    def __init__(
        self,
        *,
        client: Client,
        memory: Memory,
        guards: Guards,
        schedule: Schedule,
        rechecks: Rechecks,
        namespaces: Collection[str],
    ) -> None:
        self._client = client
        self._memory = memory
        self._guards = guards
        self._schedule = schedule
        self._rechecks = rechecks
        self._namespaces: tuple[str | None, ...] = tuple(namespaces) or (None,)
        self._failed: ClusterError | None = None
        self.versions: dict[str, str] = {}
        """At which versions sessions and Jobs were listed, by path: what comes after is for the watch to tell."""

    async def look(self) -> None:
        """See which sessions and Jobs there are, and queue what is to be done. Raises ClusterError where that failed.

        Everything else can be asked again for each session; without this nothing could be ended.
        """
        policies_known = await self._list_policies_if_possible()
        # Side by side: while one page is read here, the API server makes the next of the other.
        await _all_of(self._list_jobs(), self._list_sessions())
        try:
            await self._list_guards()
        except ClusterError as error:
            _logger.warning("the guards could not be listed", extra={"error": str(error)})
        for session in self._memory.sessions():
            self._schedule.swept(session)
        for job in self._memory.jobs():
            key = self._memory.session_key_of_job(job)
            if is_unattended(job, self._memory.session(key)):
                self._schedule.now(key)
        if policies_known:
            self._rechecks.withdrawn()

    async def run(self) -> None:
        """Look at everything once: what fails is left for the next time, loudly, and stops nothing else."""
        failures: list[Exception] = []
        for part in (self.look, self._list_namespaces, self._check_children):
            try:
                await part()
            except Exception as error:
                _logger.exception("a part of the sweep failed", extra={"part": part.__name__.strip("_")})
                failures.append(error)
        await self._rechecks.run(session for session in self._memory.sessions() if session.status.state is State.ACTIVE)
        if self._failed is not None:
            failures.append(self._failed)
        if failures:
            raise failures[0]

    async def _check_children(self) -> None:
        active = [session for session in self._memory.sessions() if session.status.state is State.ACTIVE]
        children = await self._list_children()
        failure = await self._end_orphans(children)
        for session in active:
            await self._check_identity(session, children)
        if failure is not None:
            raise failure

    async def _list(self, kind: str, *, selector: str | None = None, metadata: bool = False) -> AsyncIterator[Object]:
        for namespace in self._namespaces:
            path = paths.collection(kind, namespace)
            listing = self._client.list(path, label_selector=selector, metadata_only=metadata)
            async for item in listing:
                yield item
            self.versions[path] = listing.resource_version

    async def _list_guards(self) -> None:
        while True:
            changes = self._guards.changes
            found = []
            for kind in admission.KINDS:
                path = paths.collection(kind)
                async for item in self._client.list(path, label_selector=GUARD_LABEL):
                    found.append((paths.plural(kind), item))  # noqa: PERF401 - a comprehension hides the await
            if self._guards.changes == changes:
                self._guards.replace(found)
                return

    async def _list_policies_if_possible(self) -> bool:
        try:
            await self._list_policies()
        except ClusterError as error:
            _logger.warning("the policies could not be listed", extra={"error": str(error)})
            self._failed = error
            return False
        return True

    async def _list_policies(self) -> None:
        """Take in the policies: before any session is known, that has none of them re-checked by itself."""
        seen = set()
        async for item in self._client.list(paths.collection("SessionPolicy")):
            seen.add(item["metadata"]["name"])
            if self._memory.see_policy(item):
                self._rechecks.policy_changed(item["metadata"]["name"])
        for name in set(self._memory.policies()) - seen:
            policy = self._memory.policy(name)
            if policy is not None and await self._is_gone("SessionPolicy", None, name, policy.metadata.uid):
                self._memory.lose_policy({"metadata": {"name": name, "uid": policy.metadata.uid}})
                self._rechecks.policy_changed(name)

    async def _list_namespaces(self) -> None:
        async for item in self._client.list(paths.collection("Namespace"), metadata_only=True):
            self._memory.see_namespace(item, deleted=False)

    async def _list_jobs(self) -> None:
        known = {job.uid: job for job in self._memory.jobs()}
        async for item in self._list("Job", selector=f"{names.MANAGED_LABEL}=true"):
            known.pop(item["metadata"]["uid"], None)
            if not self._memory.knows_job(item):
                self._memory.see_job(ObservedJob.from_object(item))
        for job in known.values():
            await self._read_again(job)

    async def _read_again(self, job: ObservedJob) -> None:
        """Read a known Job that a listing did not show: it is gone, or its label is, or it is newer than that."""
        found = await self._client.find(paths.one("Job", job.namespace, job.name))
        if found is None:
            self._memory.lose_job(job)
            return
        if found["metadata"]["uid"] != job.uid:
            self._memory.lose_job(job)
        self._memory.see_job(ObservedJob.from_object(found))

    async def _list_sessions(self) -> None:
        known = {session.metadata.uid: session for session in self._memory.sessions()}
        async for item in self._list("TaskSession"):
            known.pop(item["metadata"]["uid"], None)
            session = None if self._memory.knows_session(item) else readable(item)
            if session is not None:
                self._memory.see_session(session)
        for session in known.values():
            metadata = session.metadata
            if await self._is_gone("TaskSession", metadata.namespace, metadata.name, metadata.uid):
                self._memory.lose_session(session)
                self._schedule.now(key_of(session), order=0.0)

    async def _list_children(self) -> _Children:
        children = _Children()
        # A label that only the operator may write: by one that everybody may, anybody would decide what is listed.
        selector = names.SESSION_UID_LABEL
        for kind in _CHILD_KINDS:
            async for item in self._list(kind, selector=selector, metadata=kind != "RoleBinding"):
                metadata = item["metadata"]
                if names.identity_of_binding(metadata["name"]):
                    children.uids[kind, metadata["namespace"], metadata["name"]] = metadata["uid"]
                    if kind == "RoleBinding":
                        # One that is not read gives nothing that was granted: somebody changed it.
                        children.given[metadata["namespace"], metadata["name"]] = manifests.given_by(item)
        return children

    async def _end_orphans(self, children: _Children) -> ClusterError | None:
        """Delete children whose session is gone, over, or has another identity; one that stays keeps no other.

        ServiceAccounts and Roles are garbage collection's; one that it left is reported, for a person to look at.
        """
        living = self._living_identities()
        granting = self._granting()
        failure: ClusterError | None = None
        for (kind, namespace, name), uid in children.uids.items():
            identity = names.identity_of_binding(name)
            if identity is None or (namespace, identity.uid) in living.get(identity.name, ()):
                continue
            waiting = granting.get((namespace, identity.uid))
            if waiting is not None:
                if kind == "RoleBinding":
                    self._schedule.report_rights(waiting)
                continue
            try:
                await self._end_orphan(kind, namespace, name, uid)
            except ClusterError as error:
                fields = {"kind": kind, "namespace": namespace, "object": name, "error": str(error)}
                _logger.warning("an orphan could not be ended", extra=fields)
                failure = failure or error
        return failure

    async def _end_orphan(self, kind: str, namespace: str, name: str, uid: str) -> None:
        if await self._has_living_session(kind, namespace, name):
            return
        fields = {"kind": kind, "namespace": namespace, "object": name}
        if kind not in _DELETABLE_KINDS:
            _logger.warning("an orphan is left", extra=fields)
            return
        _logger.warning("an orphan is deleted", extra=fields)
        try:
            await self._client.delete(paths.one(kind, namespace, name), uid=uid)
        except (Missing, Conflict):
            return

    def _granting(self) -> dict[tuple[str, str], TaskSession]:
        """Sessions that are not granted, by namespace and uid of their Job: what exists of them is an attempt's."""
        found = {}
        for session in self._memory.sessions():
            job = self._memory.job_of(session) if is_ungranted(session) else None
            if job is not None:
                found[session.metadata.namespace, job.uid] = session
        return found

    def _living_identities(self) -> dict[str, set[tuple[str, str]]]:
        """Identities that may exist, by name: for each the namespace and the uid of its Job."""
        living: dict[str, set[tuple[str, str]]] = {}
        for session in self._memory.sessions():
            namespace, status = session.metadata.namespace, session.status
            if status.state is State.ACTIVE and status.service_account_name and status.job_ref:
                living.setdefault(status.service_account_name, set()).add((namespace, status.job_ref.uid))
        return living

    async def _has_living_session(self, kind: str, namespace: str, name: str) -> bool:
        """Read the object and its session again before anything is deleted."""
        found = await self._client.find(paths.one(kind, namespace, name))
        if found is None:
            return True
        labels = found["metadata"].get("labels") or {}
        session_name = labels.get(names.SESSION_LABEL)
        if not session_name:
            return False
        item = await self._client.find(paths.one("TaskSession", namespace, session_name))
        if item is None:
            return False
        session = readable(item)
        if session is None:
            return True
        same = session.metadata.uid == labels.get(names.SESSION_UID_LABEL)
        if not same or session.status.state.final:
            return False
        identity = names.identity_of_binding(name)
        granted = session.status.service_account_name
        if kind == "RoleBinding" and is_ungranted(session):
            self._schedule.report_rights(session)
        return granted is None or (identity is not None and identity.name == granted)

    async def _check_identity(self, session: TaskSession, children: _Children) -> None:
        namespace, status = session.metadata.namespace, session.status
        name = status.service_account_name or ""
        wanted: Iterable[tuple[str, str]] = [
            ("ServiceAccount", name),
            ("Job", name),
            *(("RoleBinding", grant.role_binding) for grant in status.grants),
        ]
        for kind, child in wanted:
            if children.has(kind, namespace, child):
                continue
            if not await self._exists(kind, namespace, child):
                what = "timer" if kind == "Job" else kind
                self._schedule.report_missing(session, f"The {what} {child} was deleted by somebody.")
                return
        for grant in status.grants:
            given = children.given.get((namespace, grant.role_binding))
            if given is not None and given != manifests.given_to(name, namespace, grant.role):
                self._schedule.report_missing(session, f"The RoleBinding {grant.role_binding} was changed by somebody.")
                return

    async def _exists(self, kind: str, namespace: str, name: str) -> bool:
        return await self._client.find(paths.one(kind, namespace, name)) is not None

    async def _is_gone(self, kind: str, namespace: str | None, name: str, uid: str) -> bool:
        found = await self._client.find(paths.one(kind, namespace, name))
        return found is None or bool(found["metadata"]["uid"] != uid)


async def _all_of(*parts: Coroutine[Any, Any, None]) -> None:
    """Do all of these side by side; raises what the first that failed raised, when none is under way any more."""
    failed = [each for each in await asyncio.gather(*parts, return_exceptions=True) if each is not None]
    try:
        if failed:
            raise failed[0]
    finally:
        # The error's traceback holds this frame: what it was at would be held for as long.
        failed.clear()
