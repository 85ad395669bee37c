"""The pages of the documentation, taken apart for the tests of it: links, anchors, tables, blocks.

It reads Markdown as it is written here, and must never guess: what it does not understand, a test has to see.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^(`{3,})(\w*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")


def pages() -> list[Path]:
    """List every page: those in the root and those below docs/."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def name_of(page: Path) -> str:
    """Name a page for people: its path in the repository."""
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language, in order."""
    return [body for _, found, body in _FENCE.findall(page.read_text()) if found == language]


def links(page: Path) -> list[str]:
    """Return the targets of all links, web addresses left out."""
    return [target for target in _LINK.findall(prose(page)) if "://" not in target and not target.startswith("mailto:")]


def code_spans(page: Path) -> list[str]:
    """Return what stands in single backticks."""
    return _CODE.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for line in prose(page).splitlines():
        if line.startswith("#"):
            text = line.lstrip("#").strip().lower()
            found.add(re.sub(r"[^\w\- ]", "", text).replace(" ", "-"))
    return found


def rows(page: Path, heading: str) -> Iterator[list[str]]:
    """Yield the cells of each table row under a heading, header and ruler left out; KeyError where it has no table."""
    sections = re.split(r"^#+ +", prose(page), flags=re.MULTILINE)
    section = next((each for each in sections if each.splitlines()[:1] == [heading]), None)
    lines = [line for line in (section or "").splitlines() if line.startswith("|")]
    if len(lines) < 3:
        raise KeyError(f"{name_of(page)} has no table under {heading!r}")
    for line in lines:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not set("".join(cells)) <= set("-: ") and line is not lines[0]:
            yield cells
