"""Write one file by its whole name, in a folder or on S3."""

from pathlib import Path

from drdd.files import write_bytes
from drdd.storage.filesystems import explained
from drdd.storage.objects import Store


def write_object(uri: str, content: bytes) -> None:
    """Write one object, or a local file with its folder. Raises as the methods of Store."""
    if "://" in uri:
        place, _, name = uri.rpartition("/")
        Store(place).put(name, content)
        return
    with explained(uri):
        write_bytes(Path(uri), content)
