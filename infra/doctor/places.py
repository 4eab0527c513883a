"""Where things are kept: a folder or a bucket is written, read, and left as it was.

A bucket is also written on a condition that does not hold.
"""

import os
import tempfile
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from infra.doctor.finding import ANSWER_S, Site, note, problem, said

KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
STALE = '"00000000000000000000000000000000"'  # no object's ETag
REFUSED = {
    "InvalidAccessKeyId": f"check {KEYS}",
    "SignatureDoesNotMatch": f"check {KEYS}",
    "AccessDenied": f"check {KEYS}, and what they may do in the bucket",
    "403": f"check {KEYS}",
    "NoSuchBucket": "make the bucket first",
    "RequestTimeTooSkewed": "set the clock right (timedatectl set-ntp true)",
    "SlowDown": "try again in a while",
}


def endpoint(settings: Mapping[str, str]) -> str | None:
    return settings.get("AWS_ENDPOINT_URL_S3") or settings.get("AWS_ENDPOINT_URL")


def writable(folder: Path, do: str) -> str:
    """A folder that may not be there yet. do: what to do where it cannot be written."""
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"x")
    except OSError as error:
        raise problem(f"{there} cannot be written: {said(error)}", do) from None
    return f"{folder} may be written"


def bucket(site: Site, uri: str, own: Mapping[str, str], conditional: bool = False) -> str:
    """own: AWS_* settings that come before the site's; what neither has is for boto to find.

    conditional: whether writes must heed If-None-Match and If-Match, as moving an alias needs.
    """
    around = site.bucket_settings
    if around is None and not own.keys() & {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"}:
        do = "drdd up; or set AWS_* to reach another S3 (`dvc repro` starts a store to publish in)"
        raise note(f"{uri}: the local stack is not running", do)
    settings = {**(around or {}), **own}
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    where = f"{uri} at {endpoint(settings)}" if endpoint(settings) else uri
    try:
        _try(where, uri, settings, conditional)
    except NoCredentialsError:
        raise problem(f"{where}: no keys to ask with", f"set {KEYS}") from None
    except ClientError as error:
        code = str(dict(error.response).get("Error", {}).get("Code", "?"))
        do = REFUSED.get(code, "see what the server says to this, and its log")
        raise problem(f"{where} refuses: {code}", do) from None
    except (BotoCoreError, OSError, ValueError) as error:
        do = "start it (`drdd up`), or check AWS_ENDPOINT_URL and the network"
        raise problem(f"{where} does not answer: {said(error)}", do) from None
    return f"{where}: written, read, deleted{', conditional writes heeded' if conditional else ''}"


def _try(where: str, uri: str, settings: Mapping[str, str], conditional: bool) -> None:
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    key = f"{prefix.rstrip('/')}/.doctor-{uuid.uuid4().hex}".lstrip("/")
    address, content = {"Bucket": bucket, "Key": key}, os.urandom(16)
    client = _client(settings)
    # Before writing, because some servers make a missing bucket of a PUT.
    client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    client.put_object(**address, Body=content)
    try:
        if client.get_object(**address)["Body"].read() != content:
            raise problem(f"{where} does not give back what was written", "use another store")
        conditions = {"IfNoneMatch": "*", "IfMatch": STALE} if conditional else {}
        ignored = [
            name
            for name, value in conditions.items()
            if not _is_refused(client, address, **{name: value})
        ]
        if ignored:
            raise problem(
                f"{where} ignores {' and '.join(ignored)}: "
                "two writers could overwrite each other's aliases",
                "use a newer server (docs/registry.md names some)",
            )
    finally:
        with suppress(Exception):
            client.delete_object(**address)


def _is_refused(client: Any, address: dict[str, str], **condition: str) -> bool:
    """Is a write on a condition that does not hold answered with 412?"""
    from botocore.exceptions import ClientError

    try:
        client.put_object(**address, Body=b"second", **condition)
    except ClientError as error:
        status = dict(error.response).get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status in (409, 412):
            return True
        raise
    return False


def _client(settings: Mapping[str, str]) -> Any:
    from botocore.config import Config
    from botocore.session import Session

    session = Session(profile=settings.get("AWS_PROFILE") or None)
    session.set_config_variable("metadata_service_timeout", 1)
    session.set_config_variable("metadata_service_num_attempts", 1)
    return session.create_client(
        "s3",
        region_name=settings.get("AWS_DEFAULT_REGION") or settings.get("AWS_REGION") or "us-east-1",
        endpoint_url=endpoint(settings),
        aws_access_key_id=settings.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=settings.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=settings.get("AWS_SESSION_TOKEN"),
        config=Config(
            connect_timeout=ANSWER_S, read_timeout=ANSWER_S, retries={"total_max_attempts": 1}
        ),
    )
