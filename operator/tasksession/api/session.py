"""The TaskSession: one task, one identity, for one execution window.

Read by all layers; its status is written by the lifecycle. One object is one session: nothing here changes after
creation but `revoked`, which the rules below let turn true and never back.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema

from tasksession.api.access import Access, RoleReference
from tasksession.api.conditions import Condition, ConditionStatus, ConditionType, Reason, State, find_condition
from tasksession.api.durations import TTL_SCHEMA
from tasksession.api.interning import Interned, intern_template
from tasksession.api.metadata import ObjectMeta
from tasksession.api.model import (
    SUBDOMAIN_PATTERN,
    KubernetesModel,
    Timestamp,
    immutable,
    rule,
    rules,
    schema,
)
from tasksession.api.names import API_VERSION
from tasksession.api.users import Requester

_Audience = Annotated[str, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 512})]
_CredentialID = Annotated[str, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 256})]
_BASE64URL = r"^[A-Za-z0-9_-]+$"
_TEXTS = {
    "type": "object",
    "maxProperties": 64,
    "additionalProperties": {"type": "string", "maxLength": 4096},
}
#: `spec` is required and not declared: so the API server compares it deeply, as one value. Declaring it would open a
#: hole in its comparison, through which a renamed unknown key passes for equal.
_JOB_TEMPLATE = {
    "type": "object",
    "required": ["spec"],
    "maxProperties": 2,
    "x-kubernetes-preserve-unknown-fields": True,
    "properties": {
        "metadata": {
            "type": "object",
            "description": "Labels and annotations of the Job; its name is the TaskSession's.",
            "properties": {
                "labels": {**_TEXTS, "description": "Labels of the Job."},
                "annotations": {**_TEXTS, "description": "Annotations of the Job."},
            },
        },
    },
}


class JobName(KubernetesModel):
    """A Job of the session's namespace."""

    name: Annotated[str, schema(minLength=1, maxLength=63, pattern=SUBDOMAIN_PATTERN)]
    """The Job's name."""


class External(KubernetesModel):
    """A task that runs outside the cluster; it has no settings of its own."""


class Task(KubernetesModel):
    """What the session is for: exactly one of jobTemplate, job and external."""

    job_template: Annotated[dict[str, Any], WithJsonSchema(_JOB_TEMPLATE), AfterValidator(intern_template)] | None = (
        None
    )
    """A Job that the operator creates, owns and starts, in the form of a CronJob's jobTemplate: metadata, and
    spec, which is batch/v1's JobSpec."""
    job: JobName | None = None
    """An annotated Job of this namespace, created separately by the same requester; it waits, suspended, for the
    session."""
    external: External | None = None
    """Something outside the cluster, such as a CI step or an agent: write {}."""


class JsonWebKey(KubernetesModel):
    """A public key as a JSON Web Key (RFC 7517). Never put a private key here."""

    kty: Literal["EC", "RSA", "OKP"]
    """The type of the key: EC, RSA or OKP."""
    crv: Annotated[str | None, schema(maxLength=16)] = None
    """The curve of an EC or OKP key, such as P-256 or X25519."""
    x: Annotated[str | None, schema(maxLength=128, pattern=_BASE64URL)] = None
    """The x coordinate of an EC key, or the public key of an OKP key."""
    y: Annotated[str | None, schema(maxLength=128, pattern=_BASE64URL)] = None
    """The y coordinate of an EC key."""
    n: Annotated[str | None, schema(maxLength=2048, pattern=_BASE64URL)] = None
    """The modulus of an RSA key."""
    e: Annotated[str | None, schema(maxLength=16, pattern=_BASE64URL)] = None
    """The exponent of an RSA key."""
    alg: Annotated[str | None, schema(maxLength=32)] = None
    """The algorithm the key is meant for."""
    use: Annotated[str | None, schema(maxLength=16)] = None
    """What the key is meant for: enc."""
    kid: Annotated[str | None, schema(maxLength=256)] = None
    """The key's id, repeated in the sealed token's header."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.kty != 'EC' || (has(self.crv) && has(self.x) && has(self.y))",
                "an EC key has crv, x and y",
            ),
            rule("self.kty != 'OKP' || (has(self.crv) && has(self.x))", "an OKP key has crv and x"),
            rule("self.kty != 'RSA' || (has(self.n) && has(self.e))", "an RSA key has n and e"),
        )
    )


class Sealed(KubernetesModel):
    """How the token is sealed."""

    public_key: JsonWebKey
    """The public key, as a JWK, to which the token is encrypted."""


class TokenOptions(KubernetesModel):
    """What the session's token is for, and how the requester gets it."""

    audiences: Annotated[
        tuple[_Audience, ...] | None, schema(minItems=1, maxItems=8, **{"x-kubernetes-list-type": "set"})
    ] = None
    """Not available in this version: leave it out. The token is for the API server."""
    delivery: Literal["TokenRequest", "Secret", "Sealed"] | None = None
    """How an external task gets its token: TokenRequest (the default: the requester mints it, it is never stored),
    Secret (the operator puts it into a Secret), or Sealed (the same, encrypted to sealed.publicKey)."""
    sealed: Sealed | None = None
    """With delivery Sealed only: how the token is sealed."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "(has(self.delivery) && self.delivery == 'Sealed') == has(self.sealed)",
                "sealed belongs to delivery Sealed: set both or neither",
            ),
            rule(
                "!has(self.audiences)",
                "this version has no tokens for other audiences than the API server: leave spec.token.audiences out",
                path=".audiences",
                reason="FieldValueForbidden",
            ),
        )
    )


class TaskSessionSpec(KubernetesModel):
    """What is asked for. Nothing here can be changed after creation, but revoked, which can only turn true."""

    policy: Annotated[str, schema(minLength=1, maxLength=253, pattern=SUBDOMAIN_PATTERN)]
    """The SessionPolicy under which the session is asked for. You need the verb use on it in this namespace."""
    ttl: Annotated[str | None, schema(**TTL_SCHEMA)] = None
    """How long the session may last, such as 90s, 15m or 1h30m; from 10s to 24h. It counts from the creation of this
    object, or from the last approval it needed. Absent: the policy's defaults.ttl, else its maxTTL. More than maxTTL is
    denied, never cut."""
    not_after: Timestamp | None = None
    """An absolute time after which the session neither starts nor goes on."""
    reason: Annotated[str, schema(maxLength=1024)] = ""
    """Why access is needed, in free text; it is shown in the record, and a policy may set conditions on it."""
    task: Task
    """What the session is for: exactly one of jobTemplate, job and external."""
    access: Annotated[Access, Interned] | None = None
    """The rights asked for, in this namespace. Absent: the policy's defaults.access; with neither, the session is
    denied."""
    token: TokenOptions | None = None
    """What the session's token is for, and how the requester gets it."""
    revoked: bool = False
    """Set it to true to end the session before its time. Leave it out of manifests kept in Git."""
    ttl_seconds_after_finished: Annotated[int | None, schema(minimum=0, maximum=315360000)] = None
    """How many seconds after its end this object is removed. Absent: it stays, so that a manifest kept in Git, applied
    again, does not start the session anew."""
    requester: Annotated[Requester, Interned] | None = None
    """Who asked. Stamped by admission: what you write here is overwritten."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            *immutable(
                "TaskSession",
                [
                    "policy",
                    "ttl",
                    "notAfter",
                    "reason",
                    "task",
                    "access",
                    "token",
                    "ttlSecondsAfterFinished",
                    "requester",
                ],
            ),
            rule(
                "!oldSelf.revoked || self.revoked",
                "spec.revoked can only turn true: a session that was ended cannot be resumed",
                path=".revoked",
                reason="FieldValueForbidden",
            ),
            rule(
                "(has(self.task.jobTemplate) ? 1 : 0) + (has(self.task.job) ? 1 : 0) + "
                "(has(self.task.external) ? 1 : 0) == 1",
                "set exactly one of jobTemplate, job and external",
                path=".task",
            ),
            # Not `required`: Helm and kubectl check that in the client, before admission stamps it.
            rule(
                "has(self.requester)",
                "spec.requester is stamped by admission, and was not: install the chart's admission policies",
                reason="FieldValueRequired",
            ),
            rule(
                "has(self.task.external) || !has(self.token) || (!has(self.token.delivery) && !has(self.token.sealed))",
                "delivery and sealed are for external tasks: a Job's pod gets its token from the kubelet",
                path=".token",
            ),
        )
    )


class JobReference(KubernetesModel):
    """The session's Job."""

    name: Annotated[str, schema(minLength=1, maxLength=253)]
    """The Job's name."""
    uid: Annotated[str, schema(minLength=1, maxLength=128)]
    """The Job's uid."""


class PolicyReference(KubernetesModel):
    """The SessionPolicy that the session was granted under."""

    name: Annotated[str, schema(minLength=1, maxLength=253)]
    """The policy's name."""
    uid: Annotated[str, schema(minLength=1, maxLength=128)]
    """The policy's uid."""
    generation: Annotated[int, schema(minimum=0)]
    """The policy's metadata.generation at that time."""


class Grant(KubernetesModel):
    """One RoleBinding of the session, and what it gave."""

    # Its uid is published nowhere: whoever knows it can hold the RoleBinding in foreground deletion.
    role: Annotated[RoleReference, Interned] | None = None
    """The role that was bound; absent for the inline rules of spec.access.rules."""
    role_binding: Annotated[str, schema(minLength=1, maxLength=253)]
    """The RoleBinding's name."""
    rules_hash: Annotated[str, schema(minLength=1, maxLength=128)]
    """A hash of the role's rules as they were then: when they change, the session ends."""


class TaskSessionStatus(KubernetesModel):
    """What became of it. Written by the operator alone."""

    observed_generation: Annotated[int | None, schema(minimum=0)] = None
    """The metadata.generation that this status was computed from."""
    state: State = State.PENDING
    """The session's state in one word, derived from the conditions."""
    conditions: Annotated[
        tuple[Annotated[Condition, Interned], ...],
        schema(maxItems=16, **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = ()
    """Ready, Stalled, Reconciling and Granted. Granted alone says whether access is live now."""
    task: Annotated[str | None, schema(maxLength=320)] = None
    """The task in one word, such as Job/triage or external."""
    deadline: Timestamp | None = None
    """When the session ends at the latest, whatever its task does."""
    granted_at: Timestamp | None = None
    """When the rights were given."""
    ended_at: Timestamp | None = None
    """When the rights were gone."""
    end_reason: Annotated[str | None, schema(maxLength=1024)] = None
    """Why the session ended, in one word."""
    service_account_name: Annotated[str | None, schema(maxLength=253)] = None
    """The session's identity. Its name is never used again."""
    service_account_uid: Annotated[str | None, Field(alias="serviceAccountUID"), schema(maxLength=128)] = None
    """The identity's uid: it is in the API server's audit log beside each of the session's requests."""
    timer_uid: Annotated[str | None, Field(alias="timerUID"), schema(maxLength=128)] = None
    """The uid of the timer, the Job by which Kubernetes itself ends the session at its deadline."""
    job_ref: JobReference | None = None
    """The session's Job."""
    grants: Annotated[tuple[Grant, ...], schema(maxItems=65, **{"x-kubernetes-list-type": "atomic"})] = ()
    """What was granted, one entry for each RoleBinding."""
    policy_ref: Annotated[PolicyReference, Interned] | None = None
    """The SessionPolicy that the session was granted under."""
    token_secret_name: Annotated[str | None, schema(maxLength=253)] = None
    """The Secret that an external task's tokens are bound to."""
    credential_ids: Annotated[
        tuple[_CredentialID, ...],
        Field(alias="credentialIDs"),
        schema(maxItems=256, **{"x-kubernetes-list-type": "atomic"}),
    ] = ()
    """The ids of the tokens that the operator minted; others are found in the audit log by the identity's uid."""

    def condition(self, wanted: ConditionType) -> Condition | None:
        """Find the condition of a type; None where it was never written."""
        return find_condition(self.conditions, wanted)


class TaskSession(KubernetesModel):
    """A TaskSession gives one task an identity of its own and the rights it asked for, from the moment it may start
    until it ends. One object is one session: it never runs again."""

    api_version: str = API_VERSION
    kind: str = "TaskSession"
    metadata: ObjectMeta
    spec: TaskSessionSpec
    """What is asked for. Nothing here can be changed after creation, but revoked, which can only turn true."""
    status: TaskSessionStatus = Field(default_factory=TaskSessionStatus)
    """What became of it. Written by the operator alone."""


def _initial_status() -> dict[str, Any]:
    epoch = datetime.fromtimestamp(0, tz=UTC)
    statuses: tuple[tuple[ConditionType, ConditionStatus], ...] = (
        (ConditionType.READY, "Unknown"),
        (ConditionType.STALLED, "False"),
        (ConditionType.RECONCILING, "True"),
        (ConditionType.GRANTED, "False"),
    )
    status = TaskSessionStatus(
        state=State.PENDING,
        conditions=tuple(
            Condition(
                type=type_,
                status=value,
                reason=Reason.PENDING,
                message="Waiting for the operator.",
                last_transition_time=epoch,
            )
            for type_, value in statuses
        ),
    )
    return status.model_dump(mode="json", by_alias=True, exclude_unset=True)


#: The status of a fresh object, set by the API server itself: nobody may take it for a finished session.
INITIAL_STATUS = _initial_status()
