"""Carries out the actions that `plan` asks for, each once, each safe to repeat.

The engine hands over one action and gets back what it achieved: new progress, a fresh object, or a refusal that
`plan` has to judge. Errors that say nothing about the session (no answer, too many requests, a server fault) are
raised, for the engine to try again. A name that is taken is adopted only where owner and content match.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from tasksession.api import names
from tasksession.api.partial import session_of
from tasksession.cluster import paths
from tasksession.cluster.client import MERGE_PATCH, Client, Object
from tasksession.cluster.errors import Conflict, Missing, Refused, Taken, is_too_large
from tasksession.lifecycle import actions, manifests
from tasksession.lifecycle.ending import STOPPING_SECONDS
from tasksession.lifecycle.observed import STATUS, Child, ObservedJob, Progress, Refusal, RefusalKind
from tasksession.lifecycle.requests import Outcome

_logger = logging.getLogger(__name__)


#: How long the API server may take to write the status of an object as large as it stores, in seconds.
_LARGE_SECONDS = 60.0


class Applier:
    """Applies actions through one client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def apply(self, action: actions.Action, progress: Progress) -> Outcome:
        """Carry out one action. Raises ClusterError where trying again later is the only answer."""
        match action:
            case (
                actions.CreateJob(manifest)
                | actions.CreateTimer(manifest)
                | actions.CreateServiceAccount(manifest)
                | actions.CreateRole(manifest)
                | actions.CreateRoleBinding(manifest)
            ):
                return await self._create(manifest, progress)
            case actions.CreateSession(manifest):
                return await self._create_session(manifest, progress)
            case actions.ReleaseJob():
                return await self._release(action, progress)
            case actions.StopJob():
                return await self._stop(action, progress)
            case actions.FindChildren():
                return Outcome(replace(progress, found=await self._find(action)))
            case actions.DeleteRoleBinding():
                await self._remove("RoleBinding", action.namespace, action.name, None)
                return Outcome(progress)
            case actions.DeleteTimer():
                await self._remove("Job", action.namespace, action.name, action.uid)
                return Outcome(replace(progress, timer_gone=True))
            case actions.DeleteSession():
                await self._remove("TaskSession", action.namespace, action.name, action.uid)
                return Outcome(progress)
            case actions.WriteStatus():
                return await self._write_status(action, progress)
            case actions.TellJob():
                raise TypeError("an Event is not applied: it is posted beside everything else")

    async def _create(self, manifest: Mapping[str, Any], progress: Progress) -> Outcome:
        kind = manifest["kind"]
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        try:
            # Strict: what nobody knows in a jobTemplate would be dropped without a word.
            created = await self._client.create(paths.collection(kind, namespace), manifest, strict=True)
        except Taken:
            return await self._adopt(manifest, progress)
        except Refused as error:
            refusal = _judge(kind, name, error)
            if refusal is None:
                raise
            return Outcome(progress, refusal=refusal)
        return _made(kind, created, progress)

    async def _create_session(self, manifest: Mapping[str, Any], progress: Progress) -> Outcome:
        """Create a TaskSession; of one that exists it is not decided here whose it is. Unknown fields are refused."""
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        path = paths.collection("TaskSession", namespace)
        try:
            made = await self._client.create(path, manifest, strict=True)
        except Taken:
            existing = await self._client.find(paths.one("TaskSession", namespace, name))
            if existing is None:
                return Outcome(progress, stale=True)
            made = existing
        except Refused as error:
            refusal = _judge("TaskSession", name, error)
            if refusal is None:
                raise
            return Outcome(progress, refusal=refusal)
        try:
            return Outcome(progress, session=session_of(made))
        except ValidationError:
            message = f"TaskSession {namespace}/{name} exists and cannot be read"
            return Outcome(progress, refusal=Refusal(RefusalKind.MISMATCH, "TaskSession", message))

    async def _adopt(self, manifest: Mapping[str, Any], progress: Progress) -> Outcome:
        kind = manifest["kind"]
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        existing = await self._client.find(paths.one(kind, namespace, name))
        if existing is None:
            return Outcome(progress, stale=True)
        is_task = kind == "Job" and names.parse_identity(name) is None
        # Whether a task's Job is ours is for the plan to say: it knows who has to have created it.
        if is_task or manifests.matches(existing, manifest):
            return _made(kind, existing, progress)
        message = f"{kind} {namespace}/{name} exists and is not what this session would have created"
        return Outcome(progress, refusal=Refusal(RefusalKind.MISMATCH, kind, message))

    async def _release(self, action: actions.ReleaseJob, progress: Progress) -> Outcome:
        spec: Object = {
            "suspend": False,
            "template": {"metadata": {"annotations": {names.SERVICE_ACCOUNT_ANNOTATION: action.service_account}}},
        }
        if action.active_deadline_seconds is not None:
            spec["activeDeadlineSeconds"] = action.active_deadline_seconds
        return await self._patch_job(action.namespace, action.name, action.uid, spec, progress)

    async def _stop(self, action: actions.StopJob, progress: Progress) -> Outcome:
        outcome = await self._patch_job(
            action.namespace, action.name, action.uid, {"activeDeadlineSeconds": STOPPING_SECONDS}, progress
        )
        if outcome.refusal is not None:
            fields = {"namespace": action.namespace, "job": action.name, "error": outcome.refusal.message}
            _logger.warning("a Job could not be stopped", extra=fields)
        # A Job that is gone, or another one, needs no stopping; one that cannot be stopped must not hold up the end.
        return replace(outcome, progress=replace(progress, stopped=True), stale=False, refusal=None)

    async def _patch_job(self, namespace: str, name: str, uid: str, spec: Object, progress: Progress) -> Outcome:
        try:
            job = await self._client.merge_patch(
                paths.one("Job", namespace, name), {"metadata": {"uid": uid}, "spec": spec}
            )
        except (Missing, Conflict):
            return Outcome(progress, stale=True)
        except Refused as error:
            # Only what speaks of the object: a right that the operator lacks may be given back.
            refusal = _judge("Job", name, error)
            if refusal is None or refusal.kind is not RefusalKind.INVALID:
                raise
            return Outcome(progress, refusal=refusal)
        return Outcome(progress, job=ObservedJob.from_object(job))

    async def _find(self, action: actions.FindChildren) -> tuple[Child, ...]:
        selector = f"{names.MANAGED_BY_LABEL}={names.MANAGED_BY},{names.SESSION_UID_LABEL}={action.session_uid}"
        found = []
        for kind in ("RoleBinding", "Job"):
            path = paths.collection(kind, action.namespace)
            async for item in self._client.list(path, label_selector=selector, metadata_only=True):
                metadata = item["metadata"]
                # Labels are anybody's to write, names of this form are not: what else bears them is not ours to end.
                if names.identity_of_binding(metadata["name"]):
                    found.append(Child(kind=kind, name=metadata["name"], uid=metadata["uid"]))
        return tuple(found)

    async def _remove(self, kind: str, namespace: str, name: str, uid: str | None) -> None:
        """Delete until it is gone: not found is success, and an object that another hand put there goes as well."""
        path = paths.one(kind, namespace, name)
        try:
            answer = await self._client.delete(path, uid=uid)
        except Missing:
            return
        except Conflict:
            if kind == "TaskSession":
                return
            existing = await self._client.find(path)
            if existing is None:
                return
            answer = await self._client.delete(path, uid=existing["metadata"]["uid"])
        if kind == "RoleBinding" and (answer.get("metadata") or {}).get("finalizers"):
            # A RoleBinding grants for as long as it exists, also while a finalizer holds it.
            raise Refused(
                status=409,
                reason="Finalizers",
                message=f"RoleBinding {namespace}/{name} is held by finalizers and still grants: remove them",
            )

    async def _write_status(self, action: actions.WriteStatus, progress: Progress) -> Outcome:
        metadata: Object = {"uid": action.uid}
        if action.forgets_field_managers:
            # Whatever its author writes meanwhile, it cannot be read: no newer view would lead to another status.
            metadata["managedFields"] = [{}]
        else:
            metadata["resourceVersion"] = action.resource_version
        body = {
            "metadata": metadata,
            "status": action.status.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        path = paths.one("TaskSession", action.namespace, action.name) + "/status"
        try:
            timeout = _LARGE_SECONDS if action.forgets_field_managers else None
            written = await self._client.request("PATCH", path, body, content_type=MERGE_PATCH, timeout=timeout)
        except (Missing, Conflict):
            return Outcome(progress, stale=True)
        except Refused as error:
            refusal = _judge(STATUS, action.name, error)
            if refusal is None or refusal.kind is not RefusalKind.INVALID:
                raise
            return Outcome(progress, refusal=refusal)
        return Outcome(progress, session=session_of(written))


def _made(kind: str, made: Object, progress: Progress) -> Outcome:
    metadata = made["metadata"]
    uid: str = metadata["uid"]
    if kind == "Job" and names.parse_identity(metadata["name"]) is None:
        return Outcome(progress, job=ObservedJob.from_object(made))
    match kind:
        case "Job":
            return Outcome(Progress(identity=metadata["name"], timer_uid=uid))
        case "ServiceAccount":
            return Outcome(replace(progress, service_account_uid=uid))
        case "Role":
            return Outcome(replace(progress, role_made=True))
        case _:
            made_so_far = progress.role_bindings_made | {metadata["name"]}
            return Outcome(replace(progress, role_bindings_made=made_so_far, role_bindings_gone=False))


def _judge(kind: str, name: str, error: Refused) -> Refusal | None:
    """Tell a refusal that speaks of the object from one that speaks of the moment; None for the latter."""
    object_kind = "timer" if kind == "Job" and names.parse_identity(name) else kind
    message = error.message
    if error.status in (400, 422) or is_too_large(error):
        return Refusal(RefusalKind.INVALID, object_kind, message)
    if error.status == 404:
        return Refusal(RefusalKind.FORBIDDEN, object_kind, message)
    if error.status != 403:
        return None
    if "exceeded quota" in message:
        return Refusal(RefusalKind.QUOTA, object_kind, message)
    if "attempting to grant RBAC permissions" in message or "is not allowed to bind" in message:
        return Refusal(RefusalKind.CEILING, object_kind, message)
    if "denied request" in message or "admission webhook" in message:
        return Refusal(RefusalKind.INVALID, object_kind, message)
    return Refusal(RefusalKind.FORBIDDEN, object_kind, message)
