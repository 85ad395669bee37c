"""Marks by which Argo CD, Flux and Helm know what they applied: such an object is created again once it is gone.

Policy and `plan` ask here, and the guard `tombstone` has the same list; a unit test compares the two.
"""

from collections.abc import Mapping

#: What keys of labels and annotations begin with. Argo CD can be set to track by the first.
TRACKING_KEYS = (
    "app.kubernetes.io/instance",
    "argocd.argoproj.io/",
    "helm.toolkit.fluxcd.io/",
    "kustomize.toolkit.fluxcd.io/",
    "meta.helm.sh/",
)
_MANAGED_BY = "app.kubernetes.io/managed-by"


def tracking_marks(labels: Mapping[str, str], annotations: Mapping[str, str]) -> list[str]:
    """Name the marks that are on an object."""
    found = [key for key in (*labels, *annotations) if key.startswith(TRACKING_KEYS)]
    return [*found, *([_MANAGED_BY] if labels.get(_MANAGED_BY) == "Helm" else [])]
