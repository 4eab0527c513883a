"""New entries of params.yaml, written as text: every other byte of the file stays as it is.

Where the text goes is read from the YAML's own node positions, so comments, blank lines, quotes and
line endings need no care.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, get_origin

import yaml
from omegaconf import OmegaConf

from drdd.degradations.catalogue import SCHEMAS
from drdd.errors import UserError
from drdd.files import write_bytes
from drdd.params.file import FILE, parsed, read, validate
from drdd.params.tasks import Task

OVERRIDDEN = ("variants", "pairs", "min_psnr_gain")
"""Written even at their defaults: an override of a run needs the key in the file."""


def add_task(name: str, entry: Mapping[str, Any], path: Path | str = FILE) -> str:
    """Write `entry`, a task's plain content, under `tasks:` of the file; returns the new lines.

    The file is validated as a whole first, and written atomically. Defaults are written out, so that
    they can be read, changed and overridden. Raises UserError, and writes nothing, when the name is
    taken or anything is invalid.
    """
    content = read(path)
    tasks = content.get("tasks")
    known = tasks if isinstance(tasks, Mapping) else {}
    if name in known:
        raise UserError(
            f"{path}: tasks.{name} exists already; choose another name, or edit it there"
        )
    content["tasks"] = {**known, name: dict(entry)}
    intended = validate(content, str(path))
    text = Path(path).read_bytes().decode()  # as it is, with its mark
    lines = _lines(name, intended.tasks[name])
    changed = _appended(text, "tasks", lines, str(path))
    if validate(_parsed(changed, str(path)), str(path)) != intended:
        raise UserError(
            f"{path}: no safe place for tasks.{name}; write it by hand:\n" + "\n".join(lines)
        )
    write_bytes(Path(path), changed.encode())
    return "\n".join(lines)


def parse_degradation(text: str) -> dict[str, Any]:
    """Plain content of a step from "kind" or "kind:name=value,name=low..high,...".

    A single number stands for a range [number, number] where the schema has a range; several words
    are joined by "+", as in methods=area+bicubic. Unknown kinds and names are kept: validation
    words what is wrong with them. Raises UserError for text of another form.
    """
    kind, settings = (part.strip() for part in text.partition(":")[::2])
    schema = SCHEMAS.get(kind)
    step: dict[str, Any] = {"kind": kind}
    for setting in filter(None, settings.split(",")):
        name, equals, value = (part.strip() for part in setting.partition("="))
        if not (name and equals and value):
            raise UserError(
                f"degradation {text!r}: {setting!r} is no setting; write kind:name=value, a range as "
                "low..high, such as haze:density=1.5..2.0,airlight=0.9"
            )
        field = schema.model_fields.get(name) if schema else None
        wants_list = field is not None and get_origin(field.annotation) is list
        step[name] = _listed(value) if wants_list else _scalar(value)
    return step


def _listed(value: str) -> list[Any]:
    if ".." in value:
        return [_scalar(bound) for bound in value.split("..")]
    items = [_scalar(item) for item in value.split("+")]
    return items * 2 if len(items) == 1 and not isinstance(items[0], str) else items


def _scalar(text: str) -> int | float | str:
    for number in (int, float):
        with suppress(ValueError):
            return number(text)
    return text


def _lines(name: str, task: Task) -> list[str]:
    """The entry, as params.yaml writes its tasks: one line a setting, one a degradation."""
    written = [f"{name}:"]
    for key, field in Task.model_fields.items():
        value = getattr(task, key)
        if key == "degradation" and value:
            steps = [_without_certainty(step.model_dump()) for step in value]
            written += [f"  {key}:", *(f"    - {_flow(step)}" for step in steps)]
        elif value != field.default or key in OVERRIDDEN:
            written.append(f"  {key}: {_flow(value)}")
    return written


def _without_certainty(step: Mapping[str, Any]) -> dict[str, Any]:
    """Kind first; a probability of 1 goes without saying."""
    rest = {k: v for k, v in step.items() if k != "kind" and (k, v) != ("probability", 1.0)}
    return {"kind": step["kind"], **rest}


def _flow(value: object) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**9)
    return text.removesuffix("...\n").strip()  # the end of a document that is one word


def _appended(text: str, section: str, lines: Sequence[str], origin: str) -> str:
    """The text with an entry more at the end of a top-level section."""
    node = _entries(yaml.compose(text), section)
    if node is None:
        raise UserError(
            f"{origin}: write {section} in lines, not in braces, with one entry at least"
        )
    indent = " " * node.value[0][0].start_mark.column
    newline = next((one for one in ("\r\n", "\n", "\r") if one in text), "\n")
    end = _end(node, text, newline)
    gap = "" if text[:end].endswith(newline) else newline
    new = "".join(f"{indent}{line}{newline}" for line in lines)
    return text[:end] + gap + new + text[end:]


def _entries(root: yaml.Node | None, section: str) -> yaml.MappingNode | None:
    """The block mapping of a top-level section, if it is one and has entries."""
    if not isinstance(root, yaml.MappingNode):
        return None
    node = next((value for key, value in root.value if key.value == section), None)
    is_block = isinstance(node, yaml.MappingNode) and not node.flow_style and node.value
    return node if is_block else None


def _end(node: yaml.Node, text: str, newline: str) -> int:
    """Where the line ends that holds a node's last leaf: a block's own end is where the next begins."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style:
        last = node.value[-1]
        node = last[1] if isinstance(node, yaml.MappingNode) else last
    end = node.end_mark
    if end.column == 0:  # of a block of text, which includes its last line break
        return int(end.index)
    after = text.find(newline, end.index)
    return len(text) if after < 0 else after + len(newline)


def _parsed(text: str, origin: str) -> dict[str, Any]:
    content = OmegaConf.to_container(parsed(text, origin))
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}
