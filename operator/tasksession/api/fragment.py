"""What is left of an object that is too large or nested too deeply to be read: names, uids, versions, owners, status.

The client makes one in place of such an object, and whatever needs names and uids only works on it as on any other.
Whoever reads content has to ask for `problem` first: what is absent here need not be absent in the cluster.
"""

from collections.abc import Mapping
from typing import Any

#: No object is read that is larger than this, in bytes of JSON.
LARGEST = 256 * 1024
#: No session is granted that is larger than this: what becomes of it, its status above all, is stored in it too.
LARGEST_GRANTED = 192 * 1024
#: No object is read in which objects and lists are nested more deeply than this.
DEEPEST = 100


class Fragment(dict[str, Any]):
    """The parts of an object that are known; `problem` says, for its author, why the others are not."""

    def __init__(self, found: Mapping[str, Any], *, too_large: bool, largest: int = LARGEST) -> None:
        super().__init__(found)
        if not isinstance(self.get("metadata"), dict):
            self["metadata"] = {}
        self.problem = (
            f"it is larger than {largest // 1024} KiB" if too_large else f"it is nested deeper than {DEEPEST} levels"
        )


def problem_of(item: Mapping[str, Any]) -> str | None:
    """Say why an object could not be read; None for one that was."""
    return item.problem if isinstance(item, Fragment) else None
