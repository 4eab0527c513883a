"""Text files that people hand in: UTF-8, with or without its mark, or refused with the name of theirs."""

import codecs
import os
import stat
from pathlib import Path

from drdd.errors import UserError

MARK = "\ufeff"
_MARKS = {  # UTF-32 first: its little-endian mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def decoded(content: bytes, origin: str) -> str:
    """The text of a file called `origin`, without a mark. Raises UserError for another encoding."""
    refuse_other_encoding(content, origin)
    text = content.removeprefix(codecs.BOM_UTF8)
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise UserError(
            f"{origin}: line {line} holds the byte 0x{text[error.start]:02X}, which is no UTF-8, so "
            "the file is in Latin-1 (Windows-1252) or another encoding",
            "save it as UTF-8",
        ) from None


def refuse_other_encoding(content: bytes, origin: str) -> None:
    """Raise UserError for UTF-16, UTF-32 and what has zero bytes, which no text has."""
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "")
    zero = content.find(b"\0")
    if zero < 0 and not encoding:
        return
    if (
        not encoding
        and content[zero + 1 : zero + 2] != b"\0"
        and b"\0" in content[zero + 2 : zero + 3]
    ):
        encoding = "UTF-16 without its mark"
    if encoding:
        raise UserError(f"{origin}: the file is in {encoding}", "save it as UTF-8")
    line = content[:zero].count(b"\n") + 1
    raise UserError(
        f"{origin}: line {line} holds a zero byte, so it is no text", "save it as UTF-8"
    )


def read_text(path: Path | str, origin: str = "", most: int | None = None) -> str:
    """The text of a file of at most `most` bytes. origin: what messages call it, its path by default.

    Raises UserError for anything but a regular file of UTF-8 that can be read, FileNotFoundError for none.
    """
    origin = origin or str(path)
    return decoded(read_bytes(path, origin, most), origin)


def read_bytes(path: Path | str, origin: str, most: int | None = None) -> bytes:
    """As `read_text`, before it is text."""
    try:
        # Without O_NONBLOCK, opening a pipe waits for a writer.
        with open(
            path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)
        ) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UserError(f"{origin} is no regular file; name a file of text")
            content = file.read() if most is None else file.read(most + 1)
    except FileNotFoundError:
        raise
    except IsADirectoryError:
        raise UserError(f"{origin} is a folder; name a file of text") from None
    except OSError as error:
        raise UserError(
            f"{origin} cannot be read ({error.strerror}); check its permissions"
        ) from None
    except ValueError:
        raise UserError(f"{origin}: a path holds no zero byte; name a file of text") from None
    if most is not None and len(content) > most:
        raise UserError(f"{origin} has more than {most / 1024**2:g} MiB; make it smaller")
    return content
