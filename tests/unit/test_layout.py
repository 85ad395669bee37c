"""The suites stand beside each other: none imports another, and what several need is in tests/support.

Otherwise no suite can be moved, scheduled or read alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
#: Not suites: what they are built from. `demo` is started as a process.
SHARED = ("cluster", "support")
SUITES = sorted(
    folder.name for folder in TESTS.iterdir() if (folder / "__init__.py").exists() and folder.name not in SHARED
)


def imported(file: Path) -> Iterator[str]:
    """Give the folders of tests/ that a module imports from, wherever in it the import stands."""
    for node in ast.walk(ast.parse(file.read_text(), filename=str(file))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively; write the whole name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "tests" and len(parts) > 1:
                yield parts[1]


def imports_of(folder: str) -> set[str]:
    """Return all folders of tests/ that the modules of one of them import from."""
    return {name for file in sorted((TESTS / folder).rglob("*.py")) for name in imported(file)}


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_imports_no_other(suite: str) -> None:
    """A suite imports from itself, from tests/support and from tests/cluster."""
    assert imports_of(suite) <= {suite, *SHARED}


def test_what_is_shared_imports_no_suite() -> None:
    """tests/support stands on tests/cluster, and that on nothing of ours: no suite is needed to use either."""
    assert imports_of("support") <= set(SHARED)
    assert imports_of("cluster") <= {"cluster"}


def test_the_suites_are_found() -> None:
    """The check looks at folders that are there: with none found it would hold for ever."""
    assert {"attacks", "benchmark", "demo", "e2e", "faults", "integration", "unit"} == set(SUITES)
    assert "support" in imports_of("faults")
