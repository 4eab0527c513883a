"""Access folders and S3 prefixes by fsspec, with clear error messages.

S3 endpoint, keys and region come from the standard AWS_* environment.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from aiohttp import ClientError
from botocore.exceptions import BotoCoreError, NoCredentialsError, PartialCredentialsError

from drdd.errors import FULL, TransientError, UserError
from drdd.files import exists

# What another try does not change: the name, the kind or the state of what is there.
PERMANENT = {
    *(errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST, errno.ELOOP, errno.EINVAL),
    *(
        errno.EROFS,
        errno.EFBIG,
        errno.EXDEV,
        errno.ENODEV,
        errno.ENXIO,
        errno.ENOTSUP,
        errno.EILSEQ,
    ),
}
CONNECT_S, READ_S = 5, 10  # timeouts of a request to an S3 server


def open_filesystem(uri: str) -> tuple[Any, str]:
    """The fsspec filesystem of `uri`, and the path in it.

    Requests to a dead S3 endpoint fail within seconds; listings are not cached.
    """
    options: dict[str, Any] = {}
    if uri.startswith("s3://"):
        _ask_again_after_server_errors()
        options = {
            "skip_instance_cache": True,
            "use_listings_cache": False,
            "config_kwargs": {
                "connect_timeout": CONNECT_S,
                "read_timeout": READ_S,
                "retries": {"total_max_attempts": 1},
            },
        }
    with explained(uri):
        filesystem, path = fsspec.core.url_to_fs(uri, **options)
        if options:
            filesystem.retries = 2  # s3fs's retries; those of botocore would multiply them
        return filesystem, str(path).rstrip("/")


def _ask_again_after_server_errors() -> None:
    """Make s3fs retry after an InternalError; by default it retries only when told to slow down."""
    from s3fs.core import set_custom_error_handler

    set_custom_error_handler(_is_server_error)


def _is_server_error(error: BaseException) -> bool:
    answer = getattr(error, "response", None)
    status = answer.get("ResponseMetadata", {}) if isinstance(answer, dict) else {}
    return int(status.get("HTTPStatusCode", 0)) >= 500


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Raise UserError when the store of `uri` refuses, TransientError when it does not answer."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "the default S3 endpoint")
    where = f"{uri} at {endpoint}" if "://" in uri else uri
    try:
        yield
    except PermissionError as error:
        keys = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        advice = f"check {keys}, as `drdd doctor` does" if "://" in uri else "check its permissions"
        raise UserError(f"{where}: access refused ({error})", advice) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise UserError(f"{where}: no keys to ask with", advice) from error
    except (FileNotFoundError, NotADirectoryError, FileExistsError) as error:
        if "://" not in uri and (file := _in_the_way(uri)):
            said = str(file) if file == Path(uri) else f"{where}: {file}"
            raise UserError(f"{said} is no folder", "name another place") from error
        if isinstance(error, FileExistsError):
            raise UserError(f"{where}: {error.strerror}", "name another place") from error
        if "://" in uri and "bucket does not exist" in str(error):
            raise UserError(f"{where}: its bucket does not exist; make it first") from error
        missing = isinstance(error, FileNotFoundError)
        raise UserError(f"{where} does not exist" + ("" if missing else f" ({error})")) from error
    except (OSError, BotoCoreError, ClientError) as error:
        if (
            isinstance(error, OSError) and error.errno in FULL
        ):  # the local disk to which an object is read
            raise UserError(f"{where}: a disk is full ({error})", "make room there") from error
        if "://" not in uri and isinstance(error, OSError) and error.errno in PERMANENT:
            raise UserError(f"{where}: {error.strerror}", "name another place") from error
        reason = f"{type(error).__name__}: {error}"
        advice = "`drdd doctor` shows which service is away"
        raise TransientError(f"{where} does not answer ({reason})", advice) from error
    except (ValueError, ImportError) as error:  # an unknown protocol, a malformed name
        raise UserError(f"{where}: {error}") from error


def _in_the_way(path: str) -> Path | None:
    """What is no folder, the path itself or what stands for a folder in it."""
    there = (one for one in (Path(path), *Path(path).parents) if exists(one))
    return next((one for one in there if not one.is_dir()), None)
