"""Scripts in YAML, limited to what JSON can express, with the line of every item."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from math import isinf

import yaml

__all__ = ["YAMLFormatError", "load_items"]

_MAX_DEPTH = 30
_MAX_NUMBER_LENGTH = 100
_TAG = "tag:yaml.org,2002:"
_SCALARS = (
    ("null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""]),
    ("bool", re.compile(r"^(?:true|false)$"), ["t", "f"]),
    ("int", re.compile(r"^-?(?:0|[1-9]\d*)$"), list("-0123456789")),
    ("float", re.compile(r"^-?\d+\.\d+(?:[eE][-+]?\d+)?$"), list("-0123456789")),
)
_FORMS = {f"{_TAG}{kind}": form for kind, form, _ in _SCALARS}
_KNOWN_TAGS = {f"{_TAG}{kind}" for kind in ("map", "seq", "str")} | _FORMS.keys()


class YAMLFormatError(ValueError):
    """A file that is no list, or has something that JSON has not; the message starts with the line."""


class _Loader(yaml.SafeLoader):
    """Resolves plain scalars as JSON does; everything else is a string, so 10:30 is no number and NO no boolean."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]  # an annotation that the stubs lack
        if isinstance(event, yaml.AliasEvent):
            raise _create_error("an alias: repeat the value", event.start_mark)
        if self._depth >= _MAX_DEPTH:
            raise _create_error(f"more than {_MAX_DEPTH} levels of nesting", event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None:
            _check_node(node)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        read: dict[Hashable, object] = super().construct_mapping(node, deep)
        if len(read) != len(node.value):
            raise _create_error("duplicate key", node.start_mark)
        return read


_Loader.yaml_implicit_resolvers = {}
for _kind, _form, _starts in _SCALARS:
    _Loader.add_implicit_resolver(f"{_TAG}{_kind}", _form, _starts)


def load_items(text: str) -> Iterator[tuple[str, object]]:
    """The items of a list, each with its line.

    Raises:
        YAMLFormatError: see there.

    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.SequenceNode):
            raise YAMLFormatError("line 1: a script is a list of steps, each starting with a dash")
        for item in node.value:
            yield _format_line(item.start_mark), loader.construct_object(item, deep=True)
    except yaml.MarkedYAMLError as error:
        location = _format_line(error.problem_mark) if error.problem_mark else "line 1"
        raise YAMLFormatError(f"{location}: {error.problem or 'not YAML'}") from None
    except yaml.YAMLError:
        raise YAMLFormatError("line 1: the file is not text") from None


def _create_error(problem: str, mark: object) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(None, None, problem, mark if isinstance(mark, yaml.Mark) else None)


def _check_node(node: yaml.Node) -> None:
    problem = _find_problem(node)
    if problem is not None:
        raise _create_error(problem, node.start_mark)


def _find_problem(node: yaml.Node) -> str | None:
    if node.tag not in _KNOWN_TAGS:
        return "a tag that JSON has no equivalent of"
    if not isinstance(node, yaml.ScalarNode) or node.tag not in _FORMS:
        return None
    if _FORMS[node.tag].match(node.value) is None:
        return f"no {node.tag.removeprefix(_TAG)}"
    if len(node.value) > _MAX_NUMBER_LENGTH:
        return f"a number of more than {_MAX_NUMBER_LENGTH} characters: put it in quotes if it is a text"
    if node.tag == f"{_TAG}float" and isinf(float(node.value)):
        return "a number that is out of range"
    return None


def _format_line(mark: yaml.Mark) -> str:
    return f"line {mark.line + 1}"
