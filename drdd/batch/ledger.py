"""restored.jsonl, beside the outputs: the input, model and problem of each output.

It has one line per file and is rewritten atomically every few seconds. A killed run loses only the records
since then; these files are restored again, with the same bytes.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields

from drdd.bounded import read_json
from drdd.errors import UserError
from drdd.storage.objects import Store

FILE = "restored.jsonl"
EVERY_S = 5.0
LONGEST = 64 * 1024  # bytes of a line
SHARE = 20  # writing takes at most a twentieth of the time


@dataclass(frozen=True)
class Record:
    """sha256: of the input's bytes; recipe: of the model's files and all options; problem: "" if done.

    mask_sha256: of the mask's bytes, map_sha256: of the map of uncertainty; "" for none. note: what was
    converted or left out, "" for nothing.
    """

    input: str
    sha256: str
    recipe: str
    model: str
    output: str
    output_sha256: str
    mask_sha256: str = ""
    map_sha256: str = ""
    note: str = ""
    problem: str = ""


class RestoreLedger:
    """The records of an output root, by input. Unreadable lines are ignored."""

    def __init__(self, store: Store) -> None:
        """Raises UserError when the output root holds another file by this name, which is kept."""
        self._store = store
        content = store.get(FILE) or b""
        self.records = dict(_read(content))
        if content.strip() and not self.records:
            raise UserError(
                f"{store.uri}/{FILE} is not a list of restored files; move it away, or name another output"
            )
        self._written, self._pause = time.monotonic(), EVERY_S

    @property
    def uri(self) -> str:
        """The output root."""
        return self._store.uri

    def add(self, record: Record) -> None:
        self.records[record.input] = record
        if time.monotonic() - self._written > self._pause:
            self.write()

    def write(self) -> None:
        begin = time.monotonic()
        ordered = (self.records[name] for name in sorted(self.records))
        lines = (json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in ordered)
        self._store.put(FILE, "".join(lines).encode())
        self._written = time.monotonic()
        self._pause = max(EVERY_S, SHARE * (self._written - begin))


def _read(content: bytes) -> Iterator[tuple[str, Record]]:
    names = {field.name for field in fields(Record)}
    for line in content.split(b"\n"):
        try:
            found = read_json(line, LONGEST)
        except ValueError:
            continue
        strings = isinstance(found, dict) and all(isinstance(one, str) for one in found.values())
        if strings and set(found) == names:
            record = Record(**found)
            yield record.input, record
