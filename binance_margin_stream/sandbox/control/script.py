"""A script in YAML: a list of steps, each with the line it stands on."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path

import yaml

from binance_margin_stream.sandbox.control.schedule import ScriptError, Step, parse_steps

__all__ = ["Script", "read_script"]

Script = str | os.PathLike[str] | Iterable[Mapping[str, object]]
"""A YAML file by its path, or its steps as Python values."""


class _Loader(yaml.SafeLoader):
    """Reads what looks like JSON as JSON would; everything else is text, so that 10:30 is no number and NO no flag."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        read: dict[Hashable, object] = super().construct_mapping(node, deep)
        if len(read) != len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a name stands here twice", node.start_mark)
        return read


_Loader.yaml_implicit_resolvers = {}
for _kind, _form, _starts in (
    ("null", r"null|~|", ["n", "~", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"-?(?:0|[1-9]\d*)", list("-0123456789")),
    ("float", r"-?\d+\.\d+(?:[eE][-+]?\d+)?", list("-0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_form})$"), _starts)


def read_script(script: Script) -> tuple[Step, ...]:
    """The steps of a script, all checked.

    Raises:
        ScriptError: the first thing that is wrong, with its line, or its number where it is no file.
        OSError: the file cannot be read.

    """
    if isinstance(script, str | os.PathLike):
        return parse_steps(_load_items(Path(script)))
    return parse_steps((f"step {number}", item) for number, item in enumerate(script, 1))


def _load_items(path: Path) -> list[tuple[str, object]]:
    try:
        loader = _Loader(path.read_text("utf-8"))
        node = loader.get_single_node()
        if not isinstance(node, yaml.SequenceNode):
            raise ScriptError("line 1: a script is a list of steps, each beginning with a dash")
        return [(_format_line(item.start_mark), loader.construct_object(item, deep=True)) for item in node.value]
    except yaml.MarkedYAMLError as error:
        location = _format_line(error.problem_mark) if error.problem_mark else "line 1"
        raise ScriptError(f"{location}: {error.problem or 'not YAML'}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ScriptError("line 1: the file is not text") from None


def _format_line(mark: yaml.Mark) -> str:
    return f"line {mark.line + 1}"
