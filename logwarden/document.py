"""A YAML file in which every value knows its line, judged by a JSON Schema.

Owns: the safe loading of YAML (config and attack.d), and the wording `file:line: path: what was expected`.
Never: executes a tag, follows a reference to elsewhere. Aliases are refused: neither file needs them, and nested
ones grow without bound.
Fails: with ConfigError where the text is no YAML at all; `problems` returns everything else that is wrong.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from .blake2 import blake2b
from .errors import ConfigError
from .model import Location, Refusal

MAX_BYTES = 4 << 20
"""A config or rule file larger than this is a mistake, and would be parsed for minutes."""

MAX_DEPTH = 32
"""Collections within one another: twice what the deepest of our schemas has."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML was built with it: ten times as fast, and a hundred attack files take a second without it."""

Path = tuple[str | int, ...]


class Document(NamedTuple):
    """The plain data of a YAML file, and the line on which each value, or its key, stands. `digest` is the file's."""

    file: str
    data: Any
    lines: Mapping[Path, int]
    digest: str

    def where(self, path: Sequence[str | int]) -> Location:
        """The place of the value at `path`, or of the nearest ancestor that stands in the file."""
        steps = tuple(path)
        while steps and steps not in self.lines:
            steps = steps[:-1]
        return Location(self.file, self.lines.get(steps, 1))

    def problems(self, schema: Mapping[str, Any]) -> list[Refusal]:
        """Everything in which the document departs from `schema`, in the order of the file."""
        validator = _validator()(schema)
        found = {refusal for error in validator.iter_errors(self.data) for refusal in self._refusals(error)}
        return sorted(found, key=lambda refusal: (refusal.where.line, refusal.why))

    def _refusals(self, error: Any) -> Iterator[Refusal]:
        path: Path = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            known = sorted(error.schema.get("properties", {}))
            for key in sorted(set(map(str, error.instance)) - set(known)):
                yield self._refusal((*path, key), f"unknown key; known here: {', '.join(known)}")
        elif error.validator == "required":
            missing = sorted(set(error.validator_value) - set(error.instance))
            yield self._refusal(path, f"needs {', '.join(missing)}")
        else:
            yield self._refusal(path, f"expected {_expectation(error)}, not {_shown(error.instance)}")

    def _refusal(self, path: Path, why: str) -> Refusal:
        name = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
        return Refusal(self.where(path), f"{name}: {why}" if name else why)


def _is_whole(_checker: object, value: object) -> bool:
    """JSON Schema takes 3.0 for an integer; a program that counts with it does not."""
    return isinstance(value, int) and not isinstance(value, bool)


@functools.cache
def _validator() -> Any:
    """The class of validators, loaded when there is something to judge: it takes 6 MB, and a warm start has nothing."""
    import jsonschema

    draft = jsonschema.Draft202012Validator
    whole = draft.TYPE_CHECKER.redefine("integer", _is_whole)
    return jsonschema.validators.extend(draft, type_checker=whole)  # type: ignore[no-untyped-call]


def _expectation(error: Any) -> str:
    """What the schema wants at the place of `error` (a ValidationError): its own words where it has some."""
    schema = error.schema
    if "description" in schema and error.validator in {"pattern", "anyOf", "oneOf", "type", "enum"}:
        return str(schema["description"])
    match error.validator:
        case "enum":
            return "one of " + ", ".join(map(str, error.validator_value))
        case "type":
            kinds = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
            return " or ".join(str(_KINDS.get(kind, kind)) for kind in kinds)
        case "minimum":
            return f"at least {error.validator_value}"
        case "maximum":
            return f"at most {error.validator_value}"
        case "minItems" | "minLength" | "minProperties":
            return "something that is not empty"
        case _:
            return str(error.message)


_KINDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
}


def _shown(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def read(file: str) -> Document:
    """Load the YAML file `file`. Raises ConfigError where it cannot be read or is no YAML."""
    try:
        with open(file, "rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file}:1: cannot be read: {error.strerror}") from error
    return parse(content, file)


def parse(content: bytes, file: str) -> Document:
    """Parse YAML. Raises ConfigError(`file:line: what`) for a syntax error, an alias, a repeated key."""
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{file}:1: is larger than {MAX_BYTES >> 20} MiB")
    lines: dict[Path, int] = {}
    digest = blake2b(content, digest_size=32).hexdigest()
    try:
        _refuse_excess(content, file)
        loader = _LOADER(content)
        node = loader.get_single_node()
        if node is None:
            return Document(file, None, lines, digest)
        _survey(node, (), lines, file)
        return Document(file, loader.construct_document(node), lines, digest)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(f"{file}:{mark.line + 1 if mark else 1}: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}:1: not YAML: {' '.join(str(error).split())}") from error


def _refuse_excess(content: bytes, file: str) -> None:
    """Refuse what would grow without bound in the steps that follow, which recurse."""
    depth = 0
    for event in yaml.parse(content, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{file}:{line}: YAML aliases (*name) are not supported")
        if depth > MAX_DEPTH:
            raise ConfigError(f"{file}:{line}: nested deeper than {MAX_DEPTH}")


def _survey(node: yaml.Node, path: Path, lines: dict[Path, int], file: str) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"{file}:{key.start_mark.line + 1}: a key must be plain text")
            step = (*path, key.value)
            if step in lines:
                raise ConfigError(f"{file}:{key.start_mark.line + 1}: {key.value} is given twice")
            lines[step] = key.start_mark.line + 1
            _survey(value, step, lines, file)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _survey(item, (*path, index), lines, file)
