"""One object that the API server must refuse: what is wrong with it, and the words of the refusal."""

from collections.abc import Mapping
from typing import Any

from tests.integration.api.manifests import Object


class Case:
    """A good manifest with something spoiled, and each cause that the API server must name, as `field: message`."""

    def __init__(self, name: str, good: Object, changes: Mapping[str, Any], *causes: str) -> None:
        self.name = name
        self.good = good
        self.changes = changes
        self.causes = list(causes)
