"""What the pages point at exists: files, anchors, make targets, tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.pages import ROOT, anchors, blocks, code_spans, links, name_of, pages

_TARGET = re.compile(r"^([a-z0-9-]+):", re.MULTILINE)
_MAKE = re.compile(r"(?:^|[`\s])make ([a-z][a-z0-9-]*)")
#: The folders of the repository that paths in the text begin with.
_FOLDERS = ("operator/", "charts/", "crds/", "docs/", "examples/", "tests/", "requirements/")


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link is a file or folder of the repository, and its anchor a heading there."""
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} does not exist"
        assert file.is_relative_to(ROOT), f"{target} leaves the repository"
        if anchor:
            assert anchor in anchors(file), f"{target}: no such heading"


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_make_targets_exist(page: Path) -> None:
    """Each `make x`, in a sentence or in a block of commands, is a target of the Makefile."""
    targets = set(_TARGET.findall((ROOT / "Makefile").read_text()))
    commands = [*code_spans(page), *(line for block in blocks(page, "sh") for line in block.splitlines())]
    named = {name for command in commands for name in _MAKE.findall(command.partition("#")[0])}
    assert named <= targets, named - targets


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_paths_and_tests_exist(page: Path) -> None:
    """Each path in backticks exists; where it names a test, the test is in that file."""
    for span in code_spans(page):
        path, _, test = span.partition("::")
        if not path.startswith(_FOLDERS) or set(path) & set("*<>{ …"):
            continue
        file = ROOT / path
        # The one file that is named because it must not exist.
        assert file.exists() or path == "operator/__init__.py", f"{span} does not exist"
        if test:
            assert f"def {test}(" in file.read_text(), f"{span}: no such test"


def test_every_page_is_in_the_index() -> None:
    """The index of the documentation, or that of the decisions, links each page below docs/."""
    linked: set[Path] = set()
    for index in (ROOT / "docs" / "README.md", ROOT / "docs" / "decisions" / "README.md"):
        linked |= {(index.parent / target.partition("#")[0]).resolve() for target in links(index)} | {index}
    missing = [name_of(page) for page in (ROOT / "docs").rglob("*.md") if page.resolve() not in linked]
    assert not missing
