"""Lists of files: a path per line (.txt), or columns of a table (.csv, .parquet)."""

import csv
import io
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from posixpath import dirname, join, normpath
from typing import TYPE_CHECKING

from drdd.errors import UserError
from drdd.params.errors import nearest
from drdd.text import refuse_other_encoding

if TYPE_CHECKING:  # which the plain package does without
    import pyarrow as pa
    from pyarrow.parquet import FileMetaData

SUFFIXES = (".txt", ".csv", ".parquet")
TABLES = (".csv", ".parquet")
MAX_ROWS = 20_000_000
MAX_TABLE = 4 * 1024**3  # bytes of a Parquet table without its compression
MAX_PATH = 64 * 1024  # bytes; no disk and no store takes such a name
DELIMITERS = (",", ";", "\t")
SIZE = re.compile(
    r"(\.\w+)\s+\(\d+,\s?\d+(,\s?\d+)?\)$"
)  # the name's suffix; height, width, channels
CLIMBS = "its name has '.' or '..' between slashes, which leads elsewhere; write it without"


def is_list(source: str) -> bool:
    return source.lower().endswith(SUFFIXES)


def is_table(source: str) -> bool:
    return source.lower().endswith(TABLES)


def located(cell: str, where: str) -> tuple[str, str, str]:
    """(name, place, reason to refuse it or "") of a file that the list at `where` names.

    Relative paths begin at the list's folder. Who writes a local list may read the local files anyway, so
    it may name any, and s3:// URIs. A list on S3 may be by anybody: it names objects of its own bucket.
    """
    scheme, _, own = where.rpartition("://")
    bucket = own.partition("/")[0]
    if "://" in cell:
        refusal = "" if cell.startswith("s3://") else "a list names paths and s3:// URIs alone"
        path = cell.partition("://")[2]
        if not refusal and climbs(path):
            refusal = CLIMBS
        elif not refusal and scheme and path.partition("/")[0] != bucket:
            refusal = f"a list on S3 names objects of its own bucket, {bucket}, alone"
        return cell, cell, refusal
    path = normpath(cell)
    if not scheme:
        return path, path if path.startswith("/") else normpath(join(dirname(where), path)), ""
    place = normpath(join(dirname(own), path))
    outside = path.startswith("/") or not place.startswith(f"{bucket}/")
    refusal = "a list on S3 names no local file and no other bucket" if outside else ""
    return path, where if outside else f"{scheme}://{place}", refusal


def climbs(path: str) -> bool:
    """Whether a key has parts that an HTTP client takes for steps in a tree: S3 knows no such tree."""
    return any(part in (".", "..") for part in path.split("/"))


def cells(content: bytes, source: str, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """The rows of the list or table called `source`, with one text for each of `columns`.

    A .txt has a single column of any name; blank lines and lines that begin with "#" are skipped, and so
    is the size in a line such as `a.png (480,480,3)`. The cells of a .csv are separated by commas, or by
    semicolons or tabs if its header is. An empty cell is "". Bytes that are not UTF-8 become surrogates,
    as in file names (os.fsdecode). Raises UserError when the file is not a valid list or lacks a column.
    """
    if source.lower().endswith(".parquet"):
        return _of_parquet(content, source, columns)
    refuse_other_encoding(content, source)
    text = content.removeprefix(BOM_UTF8).decode("utf-8", "surrogateescape")
    found = _of_csv(text, source, columns) if is_table(source) else _of_lines(text, columns)
    for row in found:
        if max(map(len, row)) > MAX_PATH:
            raise UserError(
                f"{source}: a cell of {max(map(len, row))} letters is no path; write one path a line"
            )
    return found


def _of_lines(text: str, columns: Sequence[str]) -> list[tuple[str, ...]]:
    # A carriage return alone ends the lines of old Mac files; elsewhere it may be part of a name.
    lines = (line.strip() for line in text.split("\n" if "\n" in text else "\r"))
    names = (SIZE.sub(r"\1", line) for line in lines if line and not line.startswith("#"))
    return [(name,) * len(columns) for name in names]


def _of_csv(text: str, source: str, columns: Sequence[str]) -> list[tuple[str, ...]]:
    headers = {one: _header(text, one) for one in DELIMITERS}
    complete = (one for one, names in headers.items() if set(columns) <= set(names))
    delimiter = next(complete, max(headers, key=lambda one: len(headers[one])))
    header = headers[delimiter]
    try:
        rows = list(_rows_of(text, delimiter))
    except csv.Error as error:
        raise UserError(f"{source}: no table of comma-separated values ({error})") from error
    _refuse_missing(columns, header, source)
    if twice := [column for column in columns if header.count(column) > 1]:
        raise UserError(f"{source}: two columns are called {twice[0]!r}; rename one")
    places = [header.index(column) for column in columns]
    return [
        tuple(row[place].strip() if place < len(row) else "" for place in places)
        for row in rows[1:]
    ]


def _header(text: str, delimiter: str) -> list[str]:
    try:
        return [name.strip() for name in next(_rows_of(text, delimiter), [])]
    except csv.Error:
        return []


def _rows_of(text: str, delimiter: str) -> Iterator[list[str]]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    return (row for row in rows if row)


def _of_parquet(content: bytes, source: str, columns: Sequence[str]) -> list[tuple[str, ...]]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        wanted = list(dict.fromkeys(columns))
        file = ParquetFile(pa.BufferReader(content))
        _refuse_missing(columns, file.schema_arrow.names, source)
        _refuse_large(file.metadata, source)
        # As a dictionary, a text that a short file repeats a million times is in memory once.
        paths = {file.schema.column(n).path for n in range(len(file.schema))}
        plain = [column for column in wanted if column in paths]
        file = ParquetFile(pa.BufferReader(content), read_dictionary=plain)
        table = file.read(columns=wanted)
        texts = [_texts(table[column], source, column) for column in columns]
    except (OSError, MemoryError, pa.ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"{source}: no Parquet table ({error}); write it anew") from error
    return list(zip(*texts, strict=True))


def _refuse_large(about: "FileMetaData", source: str) -> None:
    groups = (about.row_group(n).total_byte_size for n in range(about.num_row_groups))
    if about.num_rows > MAX_ROWS or sum(groups) > MAX_TABLE:
        raise UserError(
            f"{source}: more than {MAX_ROWS} rows or {MAX_TABLE // 1024**2} MiB of columns; split the table"
        )


def _texts(column: "pa.ChunkedArray", source: str, name: str) -> list[str]:
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = pa.types.is_dictionary(column.type)
    kind = column.type.value_type if encoded else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise UserError(f"{source}: column {name!r} holds {kind}, not paths as text")
    for part in column.chunks:
        longest = pc.max(pc.binary_length(part.dictionary if encoded else part)).as_py() or 0
        if longest > MAX_PATH:
            raise UserError(
                f"{source}: column {name!r} holds a text of {longest} bytes, which is no path"
            )
    return [(text or "").strip() for text in column.to_pylist()]


def _refuse_missing(columns: Sequence[str], known: Sequence[str], source: str) -> None:
    missing = [f"{name!r}{nearest(name, known)}" for name in columns if name not in known]
    if missing:
        raise UserError(
            f"{source}: no column {' and no column '.join(missing)}; "
            f"its columns are {', '.join(known) or 'none'}"
        )
