"""A bucket tried: written, read, written on a condition that does not hold, and left as it was."""

import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from infra.doctor.finding import ANSWER_S, Finding, said

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


@dataclass(frozen=True)
class Keys:
    """How an S3 server is reached; what is None is for boto to find."""

    endpoint: str | None = None
    access: str | None = None
    secret: str | None = None
    token: str | None = None
    region: str | None = None
    profile: str | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Keys":
        return cls(
            endpoint=environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL"),
            access=environment.get("AWS_ACCESS_KEY_ID"),
            secret=environment.get("AWS_SECRET_ACCESS_KEY"),
            token=environment.get("AWS_SESSION_TOKEN"),
            region=environment.get("AWS_DEFAULT_REGION") or environment.get("AWS_REGION"),
            profile=environment.get("AWS_PROFILE"),
        )

    @property
    def are_given(self) -> bool:
        return bool(self.access or self.profile)


def trial(check: str, uri: str, keys: Keys, conditional: bool) -> Finding:
    """conditional: whether writes must heed If-None-Match and If-Match, as moving an alias needs."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    where = f"{uri} at {keys.endpoint}" if keys.endpoint else uri
    try:
        wrong = _tried(uri, keys, conditional)
    except NoCredentialsError:
        return Finding(check, "problem", f"{where}: no keys to ask with", f"set {KEYS}")
    except ClientError as error:
        code = str(dict(error.response).get("Error", {}).get("Code", "?"))
        do = REFUSED.get(code, "see what the server says to this, and its log")
        return Finding(check, "problem", f"{where} refuses: {code}", do)
    except (BotoCoreError, OSError, ValueError) as error:
        do = "start it (`drdd up`), or check AWS_ENDPOINT_URL and the network"
        return Finding(check, "problem", f"{where} does not answer: {said(error)}", do)
    if wrong:
        return Finding(check, "problem", f"{where} {wrong[0]}", wrong[1])
    done = "written, read, deleted" + (", conditional writes heeded" if conditional else "")
    return Finding(check, "ok", f"{where}: {done}")


def _tried(uri: str, keys: Keys, conditional: bool) -> tuple[str, str] | None:
    """What is wrong, and what to do about it."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    address = {
        "Bucket": bucket,
        "Key": f"{prefix.rstrip('/')}/.doctor-{uuid.uuid4().hex}".lstrip("/"),
    }
    client, content = _client(keys), os.urandom(16)
    # Before writing, because some servers make a missing bucket of a PUT.
    client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    client.put_object(**address, Body=content)
    try:
        if client.get_object(**address)["Body"].read() != content:
            return "does not give back what was written", "use another store"
        ignored = [name for name in ("IfNoneMatch", "IfMatch") if conditional] and [
            name
            for name, value in (("IfNoneMatch", "*"), ("IfMatch", STALE))
            if not _is_refused(client, address, **{name: value})
        ]
        if ignored:
            return (
                f"ignores {' and '.join(ignored)}: two writers could overwrite each other's aliases",
                "use a newer server (docs/registry.md names some)",
            )
    finally:
        with suppress(Exception):
            client.delete_object(**address)
    return None


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


def _client(keys: Keys) -> Any:
    from botocore.config import Config
    from botocore.session import Session

    session = Session(profile=keys.profile)
    session.set_config_variable("metadata_service_timeout", 1)
    session.set_config_variable("metadata_service_num_attempts", 1)
    config = Config(
        connect_timeout=ANSWER_S, read_timeout=ANSWER_S, retries={"total_max_attempts": 1}
    )
    return session.create_client(
        "s3",
        region_name=keys.region or "us-east-1",
        endpoint_url=keys.endpoint,
        aws_access_key_id=keys.access,
        aws_secret_access_key=keys.secret,
        aws_session_token=keys.token,
        config=config,
    )
