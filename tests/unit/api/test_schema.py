"""The published schema: structural, bounded, explained, and never stale."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import Field, WithJsonSchema
from tools.crds import KINDS, Kind, custom_resource_definition, generated, main, stale
from tools.schema import NotStructuralError, structural

from tasksession.api.model import KubernetesModel

_ROOT = Path(__file__).parents[3]
_TYPES = {"object", "array", "string", "integer", "boolean"}


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every schema in a schema, with its path."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from walk(inner, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from walk(schema["additionalProperties"], f"{path}{{}}")


def fields() -> list[Any]:
    """Every field of every kind, as test parameters."""
    return [
        pytest.param(schema, id=f"{kind.name}{path}")
        for kind in KINDS
        for path, schema in walk(_root(kind))
        if path not in ("", ".metadata", ".apiVersion", ".kind")
    ]


def _root(kind: Kind) -> dict[str, Any]:
    version = custom_resource_definition(kind)["spec"]["versions"][0]
    root: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return root


def test_no_generated_file_is_stale() -> None:
    """The definitions, the chart's copies and the reference are what the models give now."""
    assert stale(_ROOT) == [], "run `python -m tools.crds`"


def test_the_chart_carries_the_same_bytes() -> None:
    """What Helm installs is what is tested."""
    for file in (_ROOT / "crds").glob("*.yaml"):
        assert (_ROOT / "charts/tasksession/files/crds" / file.name).read_bytes() == file.read_bytes()


def test_nothing_else_lies_among_the_generated_files() -> None:
    """A definition that no model gives any more does not stay behind."""
    expected = {path for path, _ in generated() if path.endswith(".yaml")}
    found = {
        str(file.relative_to(_ROOT))
        for directory in ("crds", "charts/tasksession/files/crds")
        for file in (_ROOT / directory).iterdir()
    }
    assert found == expected


def test_generation_is_stable() -> None:
    """The same models give the same bytes."""
    assert list(generated()) == list(generated())


def test_the_check_says_what_is_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` fails and names the file where one is missing or changed, and passes after a run."""
    assert main(["--root", str(tmp_path), "--check"]) == 1
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--root", str(tmp_path), "--check"]) == 0
    (tmp_path / "docs/reference/api.md").write_text("by hand")
    capsys.readouterr()
    assert main(["--root", str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().err == "Stale: docs/reference/api.md. Run `python -m tools.crds`.\n"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_written_text_means_the_definition(kind: Kind) -> None:
    """The file reads back as the definition, also by a parser that takes a plain y for true."""
    text = dict(generated())[f"crds/tasksession.dev_{kind.plural}.yaml"]
    assert yaml.safe_load(text) == custom_resource_definition(kind)
    assert not any(line.strip() in ("y:", "n:", "- y", "- n") for line in text.splitlines())


@pytest.mark.parametrize("schema", fields())
def test_every_field_is_structural_and_bounded(schema: dict[str, Any]) -> None:
    """Each field has one type, and a bound on its size or values: no object grows without limit."""
    assert schema["type"] in _TYPES
    assert not {"$ref", "anyOf", "allOf", "oneOf", "title", "const"} & schema.keys()
    match schema["type"]:
        case "string":
            assert "maxLength" in schema or "enum" in schema
        case "array":
            assert "maxItems" in schema
        case "integer":
            assert "minimum" in schema
        case "object":
            assert "properties" not in schema or "additionalProperties" not in schema
            if "additionalProperties" in schema:
                assert "maxProperties" in schema
            elif "properties" not in schema:
                assert schema["description"].startswith(("A task that runs outside", "Something outside"))
            if schema.get("x-kubernetes-preserve-unknown-fields"):
                assert schema["required"] == ["spec"]
                assert "spec" not in schema["properties"], "declared, it would be compared key by key"


@pytest.mark.parametrize(
    "path_and_schema",
    [
        pytest.param((path, schema), id=f"{kind.name}{path}")
        for kind in KINDS
        for path, schema in walk(_root(kind))
        if path != ".metadata" and not path.endswith(("[]", "{}"))
    ],
)
def test_every_field_is_explained(path_and_schema: tuple[str, dict[str, Any]]) -> None:
    """Each field has a description: a sentence, on one line."""
    _, schema = path_and_schema
    description = schema["description"]
    assert description.endswith(".")
    assert description[0].isupper() or description.startswith("tasksession.dev")
    assert "\n" not in description
    assert "  " not in description


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_rule_speaks(kind: Kind) -> None:
    """Each rule has a message in words, and every stored spec field of an immutable kind has its rule."""
    root = _root(kind)
    for path, schema in walk(root):
        for each in schema.get("x-kubernetes-validations", ()):
            assert each["message"], path
    spec = root["properties"]["spec"]
    messages = " ".join(each["message"] for each in spec.get("x-kubernetes-validations", ()))
    if kind.name != "SessionPolicy":
        frozen = {name for name in spec["properties"] if f"spec.{name} cannot be changed" in messages}
        assert frozen == spec["properties"].keys() - {"revoked"}


def test_what_cannot_be_said_is_an_error() -> None:
    """A model that a structural schema cannot hold is refused, with the field's path: nothing is dropped in silence."""

    class TwoTypes(KubernetesModel):
        one: int | str

    class AnyType(KubernetesModel):
        any: Any

    class Excluded(KubernetesModel):
        number: Annotated[int, Field(multiple_of=3)]

    class Inner(KubernetesModel):
        words: tuple[Annotated[str, WithJsonSchema({"type": "string", "not": {"enum": ["a"]}})], ...]

    class Outer(KubernetesModel):
        inner: Inner | None = None

    for model, message in (
        (TwoTypes, r"TwoTypes\.one: a field has one type"),
        (AnyType, r"AnyType\.any: a structural schema needs a type here"),
        (Excluded, r"Excluded\.number: multipleOf cannot stand in a structural schema"),
        (Outer, r"Outer\.inner\.words\[\]: not cannot stand in a structural schema"),
    ):
        with pytest.raises(NotStructuralError, match=message):
            structural(model)


def test_what_stands_at_a_field_wins_over_its_type() -> None:
    """A field's own docstring is its description, not that of the model it refers to; empty defaults are left out."""

    class Part(KubernetesModel):
        """The part in general."""

        kind: Literal["a"] = "a"
        """The kind."""

    class Whole(KubernetesModel):
        """The whole."""

        part: Part | None = None
        """This part
        in particular."""
        parts: tuple[Part, ...] = ()
        flag: bool = False

    assert structural(Whole) == {
        "description": "The whole.",
        "type": "object",
        "properties": {
            "part": {
                "description": "This part in particular.",
                "type": "object",
                "properties": {"kind": {"description": "The kind.", "type": "string", "default": "a", "enum": ["a"]}},
            },
            "parts": {
                "type": "array",
                "items": {
                    "description": "The part in general.",
                    "type": "object",
                    "properties": {
                        "kind": {"description": "The kind.", "type": "string", "default": "a", "enum": ["a"]}
                    },
                },
            },
            "flag": {"type": "boolean", "default": False},
        },
    }
