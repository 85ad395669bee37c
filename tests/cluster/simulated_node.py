"""A simulated node: kwok plays the lives of pods and nothing runs; needs neither root nor a container runtime.

Called by `node`. A Job's pod is Running at once and has finished after a second, or after what the annotation
`simulated/runs-for` of its template says; `simulated/exit-code` other than 0 makes it fail.
"""

from collections.abc import Mapping
from pathlib import Path

from tests.cluster import process
from tests.cluster.api import Api, ApiError
from tests.cluster.control_plane import ControlPlane
from tests.cluster.state import State
from tests.cluster.waiting import wait_for

NODE_NAME = "simulated"

_NODE = f"""
apiVersion: v1
kind: Node
metadata: {{name: {NODE_NAME}, labels: {{kubernetes.io/hostname: {NODE_NAME}, kubernetes.io/os: linux}}}}
"""

_STAGES = """
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: node-ready}
spec:
  resourceRef: {apiGroup: v1, kind: Node}
  selector:
    matchExpressions:
      - {key: '.status.conditions.[] | select(.type == "Ready") | .status', operator: NotIn, values: ["True"]}
  next:
    statusTemplate: |
      allocatable: {cpu: "1000", memory: 1Ti, pods: "100000"}
      capacity: {cpu: "1000", memory: 1Ti, pods: "100000"}
      conditions:
        - type: Ready
          status: "True"
          reason: Simulated
          message: kwok plays this node
          lastHeartbeatTime: {{ Now | Quote }}
          lastTransitionTime: {{ Now | Quote }}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-runs}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
      - {key: .metadata.deletionTimestamp, operator: DoesNotExist}
      - {key: .status.phase, operator: In, values: [Pending]}
  next:
    statusTemplate: |
      {{ $now := Now | Quote }}
      phase: Running
      startTime: {{ $now }}
      conditions:
        - {type: Initialized, status: "True", lastTransitionTime: {{ $now }}}
        - {type: Ready, status: "True", lastTransitionTime: {{ $now }}}
        - {type: ContainersReady, status: "True", lastTransitionTime: {{ $now }}}
      containerStatuses:
      {{ range .spec.containers }}
        - name: {{ .name | Quote }}
          image: {{ .image | Quote }}
          imageID: ""
          ready: true
          started: true
          restartCount: 0
          state: {running: {startedAt: {{ $now }}}}
      {{ end }}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-finishes}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
      - {key: .metadata.deletionTimestamp, operator: DoesNotExist}
      - {key: .status.phase, operator: In, values: [Running]}
      - {key: '.metadata.ownerReferences.[].kind', operator: In, values: [Job]}
  delay:
    durationMilliseconds: 1000
    durationFrom: {expressionFrom: '.metadata.annotations["simulated/runs-for"]'}
  next:
    statusTemplate: |
      {{ $now := Now | Quote }}
      {{ $code := or (index (or .metadata.annotations dict) "simulated/exit-code") "0" }}
      {{ $start := .status.startTime | Quote }}
      phase: {{ if eq $code "0" }}Succeeded{{ else }}Failed{{ end }}
      conditions:
        - {type: Initialized, status: "True", lastTransitionTime: {{ $now }}}
        - {type: Ready, status: "False", reason: PodCompleted, lastTransitionTime: {{ $now }}}
        - {type: ContainersReady, status: "False", reason: PodCompleted, lastTransitionTime: {{ $now }}}
      containerStatuses:
      {{ range .spec.containers }}
        - name: {{ .name | Quote }}
          image: {{ .image | Quote }}
          imageID: ""
          ready: false
          started: false
          restartCount: 0
          state:
            terminated:
              exitCode: {{ $code }}
              reason: {{ if eq $code "0" }}Completed{{ else }}Error{{ end }}
              startedAt: {{ $start }}
              finishedAt: {{ $now }}
      {{ end }}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-goes}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
      - {key: .metadata.deletionTimestamp, operator: Exists}
  next: {delete: true}
"""


class SimulatedNode:
    """A node that exists in the API server only."""

    name = NODE_NAME

    def __init__(self, *, plane: ControlPlane, state: State, binaries: Mapping[str, Path]) -> None:
        self._plane = plane
        self._state = state
        self._binaries = binaries

    def start(self, api: Api) -> None:
        """Start kwok, create the node and wait until it is Ready."""
        stages = self._state.folder / "kwok.yaml"
        stages.write_text(_STAGES)
        command = [
            str(self._binaries["kwok"]),
            f"--kubeconfig={self._plane.kubeconfig('admin')}",
            f"--config={stages}",
            "--manage-all-nodes=true",
            "--node-lease-duration-seconds=40",
            "--node-ip=127.0.0.1",
        ]
        # kwok reads a file of its own from the home folder unless that is another one.
        process.start(
            command,
            record=self._state.folder / "pids" / "kwok",
            log=self._state.folder / "logs" / "kwok.log",
            environment={"HOME": str(self._state.folder)},
        )
        api.apply(_NODE)
        wait_for(lambda: self._ready(api), timeout=60, what="the simulated node to be Ready", ignoring=(ApiError,))

    def _ready(self, api: Api) -> bool:
        record = self._state.processes.get("kwok")
        if record is None or not record.alive:
            raise ProcessLookupError("kwok ended")
        node = api.get(f"/api/v1/nodes/{self.name}")
        # The taint that new nodes bear goes a moment after the node turns Ready.
        ready = [each for each in node["status"].get("conditions", []) if each["type"] == "Ready"]
        return bool(ready) and ready[0]["status"] == "True" and not node["spec"].get("taints")
