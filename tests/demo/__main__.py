"""`make demo`: one session that completes and one whose time lapses, shown and checked as they happen.

Settings are environment variables: KEEP=1 leaves the cluster up, CONTEXT names a cluster of yours, IMAGE the operator's
image there, TASK_IMAGE one with a shell and kubectl for the sessions' pods. The exit status is 0 only if everything was
observed.
"""

import os
import sys
import threading
import time

from tests.cluster import Cluster
from tests.cluster.api import Api, ApiError
from tests.cluster.existing import ExistingCluster
from tests.cluster.kind import KindError, is_kind, load, require
from tests.cluster.operator_image import OPERATOR_IMAGE, ImageError, build
from tests.cluster.preparation import prepare
from tests.cluster.waiting import wait_for
from tests.demo.narration import Narration, NotObserved
from tests.demo.stage import NAMESPACE, REQUESTER, NotOurs, Stage, attempts

NAME = "demo"
_NODES = {
    "real": "a real kubelet runs the pods, and tokens are used from inside them",
    "kwok": "a simulated node plays the pods (no root or no container runtime): tokens are used through the API",
    "existing": "your cluster's own nodes run the pods",
}


def main() -> int:
    """Play; returns the exit status."""
    keep = os.environ.get("KEEP", "") not in ("", "0")
    context = os.environ.get("CONTEXT", "")
    image = os.environ.get("IMAGE", "") or None
    tell = Narration()
    if context and image is None and not is_kind(context):
        sys.stderr.write(
            "error: name an image of the operator that the cluster can pull: make demo CONTEXT=… IMAGE=…\n"
            "  make image IMAGE_NAME=… builds it; for a cluster of kind the demo builds and loads it itself\n"
        )
        return 2
    tell.chapter("TaskSession: rights for one task, for as long as it runs")
    cluster = ExistingCluster(context) if context else Cluster(NAME, node="auto", stays=keep)
    stage: Stage | None = None
    done = False
    try:
        if not context:
            prepare([cluster.node], kubernetes=cluster.kubernetes)
        tell.step(f"using the cluster of context {context}" if context else "starting a Kubernetes control plane")
        cluster.up()
        tell.step(f"Kubernetes {cluster.kubernetes} is up; {_NODES[cluster.node]}")
        found = Stage(cluster, image=image or OPERATOR_IMAGE, task_image=os.environ.get("TASK_IMAGE", "") or None)
        found.refuse_what_is_not_ours()
        if context and image is None:
            require(context)
            tell.step("building the operator's image, and loading it into the cluster")
            load(OPERATOR_IMAGE, tool=build(tag=OPERATOR_IMAGE, base=None, builder=None, tool=None), context=context)
        stage = found
        tell.step("installing the chart: custom resources, RBAC with a ceiling, guards")
        stage.install()
        tell.step(
            "starting the operator: the chart's Deployment, with the operator's own image"
            if stage.deployed
            else "starting the operator as a process, with its own ServiceAccount's rights (no image, or no real node)"
        )
        stage.start_operator()
        _completes(stage, tell)
        _lapses(stage, tell)
        done = True
        tell.chapter(f"All {tell.facts} facts were observed, in {tell.seconds:.0f} s.")
    except (ImageError, KindError, NotObserved, NotOurs) as error:
        sys.stderr.write(f"\nerror: {error}\n")
    except Exception as error:
        sys.stderr.write(f"\nerror: {type(error).__name__}: {error}\n")
    finally:
        if keep and done and stage is not None and not context:
            _leave(stage, tell)
        else:
            if stage is not None:
                stage.close()
            kept = cluster.down(keep_logs=not done)
            if kept is not None:
                sys.stderr.write(f"the logs are in {kept}\n")
            if done:
                tell.step("everything was removed again; `make demo KEEP=1` leaves it up, to go on by hand")
    return 0 if done else 1


def _completes(stage: Stage, tell: Narration) -> None:
    tell.chapter("1. A session whose Job completes")
    tell.quote(stage.apply("1-policy.yaml"))
    tell.fact(not stage.children(), "before: no identity, no rights")
    tell.step(f"{REQUESTER} applies examples/quickstart/2-session.yaml")
    tell.quote(stage.apply("2-session.yaml", by=REQUESTER))
    status = stage.wait_state("triage", "Active")
    tell.quote(stage.kubectl("get", "tasksessions", "-n", NAMESPACE))
    tell.fact(bool(stage.children()), "the identity and its rights are there:")
    tell.quote("\n".join(stage.children()))
    pod = stage.pod("triage")
    tell.fact(pod["spec"]["serviceAccountName"] == status["serviceAccountName"], "the Job's pod runs as that identity")
    token = stage.token_of(pod)
    if token is not None:
        for what, allowed, expected in attempts(stage.api, token):
            tell.fact(allowed == expected, f"with the pod's token, {what}: {'allowed' if allowed else 'refused'}")
    if stage.node != "kwok":
        _pod_tells(stage, tell, pod["metadata"]["name"], status["serviceAccountName"])
    if token is not None:
        milliseconds = _refused_after(stage, token)
        tell.fact(True, f"the Job ended, and the same token was refused {milliseconds:.1f} ms after that was seen")
    stage.wait_state("triage", "Completed")
    tell.fact(not stage.rights(status["serviceAccountName"]), "the identity's rights are gone")
    wait_for(lambda: not stage.children(), timeout=30, what="identity and rights to be gone")
    tell.fact(True, "identity, rights and timer are gone; the TaskSession stays as a tombstone:")
    tell.quote(stage.kubectl("get", "tasksessions", "-n", NAMESPACE))


def _pod_tells(stage: Stage, tell: Narration, pod: str, identity: str) -> None:
    follower = stage.follow_logs(pod)
    lines = []
    try:
        assert follower.stdout is not None
        for line in follower.stdout:
            lines.append(line.rstrip())
            if "kubectl create configmap" in line:
                break
    finally:
        follower.terminate()
        follower.wait(10)
    text = "\n".join(lines)
    tell.step("the pod's own log:")
    tell.quote(text)
    tell.fact(identity in text, "the pod knows itself as the session's identity")
    tell.fact(
        text.count("allowed:") == 2 and text.count("refused:") == 2, "it was allowed what was asked, and nothing else"
    )


def _refused_after(stage: Stage, token: str) -> float:
    """Watch the Job's first ending condition while trying the token; milliseconds between the two."""
    jobs = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
    ended: list[float] = []

    def watch() -> None:
        for event in stage.api.watch(jobs, timeout=60, fieldSelector="metadata.name=triage"):
            conditions = event["object"].get("status", {}).get("conditions", [])
            if any(c["type"] in ("SuccessCriteriaMet", "Complete") and c["status"] == "True" for c in conditions):
                ended.append(event["received"])
                return

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    session: Api = stage.api.with_token(token)
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/triage"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            session.get(path)
        except ApiError as error:
            if error.status not in (401, 403):
                raise
            refused = time.monotonic()
            watching.join(10)
            if not ended:
                raise NotObserved("the token was refused before the Job ended") from error
            return max(0.0, (refused - ended[0]) * 1000)
    raise NotObserved("the token was never refused")


def _lapses(stage: Stage, tell: Narration) -> None:
    tell.chapter("2. A session whose time lapses while its Job still runs")
    tell.step(f"{REQUESTER} applies examples/quickstart/3-expiring-session.yaml")
    tell.quote(stage.apply("3-expiring-session.yaml", by=REQUESTER))
    status = stage.wait_state("stuck", "Active")
    pod = stage.pod("stuck", phases=("Running",))
    token = stage.token_of(pod)
    tell.step(f"the Job runs, and the deadline is {status['deadline']}")
    if token is not None:
        session = stage.api.with_token(token)
        path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/triage"
        tell.fact(bool(session.get(path)), "its token works")
    stage.wait_state("stuck", "Expired", timeout=60)
    tell.fact(True, "at the deadline the session is Expired")
    tell.fact(not stage.rights(status["serviceAccountName"]), "the identity's rights are gone")
    if token is not None:
        try:
            session.get(path)
        except ApiError as error:
            tell.fact(error.status in (401, 403), "its token is refused")
        else:
            tell.fact(False, "its token is refused")
    job = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/stuck"

    def failed() -> bool:
        conditions = stage.api.get(job).get("status", {}).get("conditions", [])
        return any(c["type"] == "Failed" and c["reason"] == "DeadlineExceeded" for c in conditions)

    wait_for(failed, timeout=60, what="the Job to fail")
    tell.fact(True, "the Job is Failed, DeadlineExceeded")
    pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
    selector = "batch.kubernetes.io/job-name=stuck"
    wait_for(lambda: not stage.api.list(pods, labelSelector=selector), timeout=60, what="the pod to be gone")
    tell.fact(True, "its pod is gone")
    wait_for(lambda: not stage.children(), timeout=30, what="identity and rights to be gone")
    tell.fact(True, "nothing is left but the tombstones:")
    tell.quote(stage.kubectl("get", "tasksessions", "-n", NAMESPACE))


def _leave(stage: Stage, tell: Narration) -> None:
    tell.chapter("The cluster and the operator stay up. To go on by hand:")
    tell.quote(
        f"export KUBECONFIG={stage.cluster.kubeconfig}\n"
        f"{stage.cluster.kubectl} get tasksessions -n {NAMESPACE}\n"
        f"{stage.how_to_read_the_log}\n"
        f"{sys.executable} -m tests.cluster down --name {NAME}    # ends it all"
    )


if __name__ == "__main__":
    sys.exit(main())
