"""All targets; here those of manifests, params, model folders and the HTTP API."""

import base64
import json
import logging
import struct
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from starlette.testclient import TestClient
from typer.testing import CliRunner

from drdd.checkpoints.folder import CONFIG, WEIGHTS, load_model
from drdd.cli.main import app
from drdd.errors import UserError
from drdd.params import load, read
from drdd.registry.registry import Registry
from drdd.serving.http import make_api
from tests.conftest import ROOT
from tests.fuzz.data import archives, intake, listed, lists, packed, pictures
from tests.fuzz.target import STRANGE, Attempt, Bytes, Target, altered, documents, files
from tests.inference.test_engine import make_model
from tests.report.judged import ROWS, judged
from tests.serving.fakes import LIMITS, FakeService

ABOUT: dict[str, Any] = {
    "metrics": judged(ROWS).content(),
    "params": {"train": {"noise": {"images": 100}}},
    "data": {"data/split": "0" * 32},
    "git": "0" * 40,
}


def _command(*words: str) -> bool:
    """Whether a command succeeded. Raises what is no refusal."""
    done = CliRunner().invoke(app, [*words], env={"COLUMNS": "150"})
    match done.exception:
        case None:
            return True
        case UserError():
            return False
        case SystemExit() if done.exception.code in (1, 2):
            return False
    raise done.exception


def manifest_inputs() -> Bytes:
    published = {"about": ABOUT, "created": "2026-01-01T00:00:00+00:00", "signature": None}
    alias = {
        "version": "0" * 64,
        "history": [{"version": "0" * 64, "at": "2026-01-01", "why": "x"}],
    }
    kinds = st.sampled_from((b"\0", b"\0", b"\1"))
    return st.tuples(kinds, documents([published, ABOUT]), documents([alias])).map(
        lambda made: made[0] + (made[1] if made[0] == b"\0" else made[2])
    )


def manifests(folder: Path) -> Attempt:
    """A registry of two versions, one of them a stranger's; or with a stranger's alias (first byte 1)."""
    registry = Registry.open(str(folder / "registry"))
    registry.publish({"weights": b"good"}, ABOUT)
    bad = registry.publish({"weights": b"bad"}, ABOUT).id
    registry.aliases.move("mine", bad)
    path = folder / "registry/versions" / bad / "manifest.json"
    alias = next((folder / "registry/aliases").iterdir())
    good, good_alias = json.loads(path.read_text()), alias.read_bytes()
    source = ("--registry", str(folder / "registry"))

    def attempt(content: bytes) -> bool:
        alias.write_bytes(content[1:] if content[:1] == b"\1" else good_alias)
        path.write_bytes(json.dumps(good).encode())
        if content[:1] != b"\1":
            try:
                made = json.loads(content[1:])
                changed = good | {name: made[name] for name in ("about", "created", "signature")}
                path.write_bytes(json.dumps(changed).encode("utf-8", "surrogatepass"))
            except (ValueError, TypeError, KeyError, RecursionError):
                path.write_bytes(content[1:])
        if not _command("models", "list", *source):  # one stranger's version hides no other
            raise AssertionError("`models list` fails")
        said = [_command("models", *words, *source) for words in (("show", bad), ("verify", bad))]
        said += [
            _command("models", "list", "--json", *source),
            _command("models", "show", "mine", *source),
        ]
        return all(said)

    return attempt


def params(folder: Path) -> Attempt:
    """The file, then an override after a line that says so."""
    path = folder / "params.yaml"

    def attempt(content: bytes) -> bool:
        text, _, override = content.partition(b"\n# override: ")
        path.write_bytes(text)
        try:
            load(path, [override.decode("utf-8", "replace")] if override else [])
        except UserError:
            return False
        return True

    return attempt


def params_inputs() -> Bytes:
    good = read(ROOT / "params.yaml")

    keys = st.sampled_from(
        ("seed", "train.noise.images", "tasks.rain", "publish.registry", "x", "")
    )
    values = st.one_of(st.text(max_size=30), st.sampled_from(STRANGE).map(str))
    override = st.tuples(keys, values).map(lambda pair: f"\n# override: {pair[0]}={pair[1]}")
    as_bytes = override.map(lambda text: text.encode("utf-8", "surrogatepass"))
    plain = (ROOT / "params.yaml").read_bytes()
    # JSON is YAML.
    return st.one_of(documents([good]), files([plain]), as_bytes.map(lambda text: plain + text))


def model_seed() -> tuple[bytes, bytes]:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        made = make_model(Path(folder))
        return (made / CONFIG).read_bytes(), (made / WEIGHTS).read_bytes()


def models(folder: Path) -> Attempt:
    """8 bytes: the length of config.json; the rest is the weights' file."""

    def attempt(content: bytes) -> bool:
        (length,) = struct.unpack("<Q", content[:8].ljust(8, b"\0"))
        (folder / CONFIG).write_bytes(content[8 : 8 + length])
        (folder / WEIGHTS).write_bytes(content[8 + length :])
        try:
            load_model(folder)
        except UserError:
            return False
        return True

    return attempt


def model_inputs() -> Bytes:
    config, weights = model_seed()
    (length,) = struct.unpack("<Q", weights[:8])
    header, data = json.loads(weights[8 : 8 + length]), weights[8 + length :]

    def joined(one: bytes, other: bytes) -> bytes:
        return struct.pack("<Q", len(one)) + one + other

    def with_header(content: bytes) -> bytes:
        return struct.pack("<Q", len(content)) + content + data

    configs = documents([json.loads(config)]).map(lambda made: joined(made, weights))
    headers = documents([header]).map(lambda made: joined(config, with_header(made)))
    return st.one_of(configs, configs, headers)


REQUEST: dict[str, Any] = {
    "method": "POST", "path": "/v1/restore",
    "query": {"steps": "1", "noise_level": "0.1", "seed": "3", "model": "champion"},
    "headers": {"content-type": "image/png", "accept": "image/png", "host": "testserver"},
}  # fmt: skip
PATHS = (
    "/v1/restore",
    "/v1/models",
    "/v1/health",
    "/v1/ready",
    "/metrics",
    "/",
    "/docs",
    "/openapi.json",
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    asked = draw(altered(REQUEST)) if draw(st.booleans()) else json.loads(json.dumps(REQUEST))
    asked = asked if isinstance(asked, dict) else dict(REQUEST)
    asked["path"] = draw(st.sampled_from((*PATHS[:1] * 8, *PATHS)))
    asked["method"] = draw(
        st.sampled_from(("POST", "POST", "POST", "GET", "PUT", "HEAD", "OPTIONS"))
    )
    body = draw(_picture_files())
    if draw(st.booleans()):
        body = draw(_forms())
        asked["headers"] = {"content-type": "multipart/form-data; boundary=x"}
    return json.dumps(asked | {"body": base64.b64encode(body).decode()}).encode(
        "utf-8", "surrogatepass"
    )


def api(folder: Path) -> Attempt:
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # a warning for each broken form
    client = TestClient(make_api(FakeService(), LIMITS, {}))
    client.__enter__()  # one event loop for all requests

    def attempt(content: bytes) -> bool:
        try:
            asked = json.loads(content)
            query: dict[str, str] = {
                _text(name): _text(value) for name, value in dict(asked["query"]).items()
            }
            headers = [
                (_token(name), _text(value).encode("latin-1", "replace"))
                for name, value in dict(asked["headers"]).items()
            ]
            method, path, body = asked["method"], asked["path"], base64.b64decode(asked["body"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return False  # no client could send it
        answer = client.request(method, path, params=query, headers=headers, content=body)
        if answer.status_code >= 500:
            raise AssertionError(f"answered {answer.status_code}: {answer.text[:200]}")
        return answer.status_code < 400

    return attempt


def _text(value: Any) -> str:
    return str(value).encode("utf-8", "replace").decode()


def _token(name: str) -> bytes:
    return bytes(c for c in name.encode("latin-1", "replace") if 32 < c < 127) or b"x"


PART = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'


@cache
def _picture_files() -> Bytes:
    return files(pictures())


@cache
def _forms() -> Bytes:
    return files([PART + one + b"\r\n--x--\r\n" for one in pictures()])


def _files(make: Callable[[], Sequence[bytes]]) -> Callable[[], Bytes]:
    return lambda: files(make())


TARGETS = {
    target.name: target
    for target in (
        Target("intake", _files(pictures), intake),
        Target("archives", _files(packed), archives),
        Target("lists", _files(listed), lists),
        Target("manifests", manifest_inputs, manifests),
        Target("params", params_inputs, params),
        Target("models", model_inputs, models),
        Target("api", requests, api),
    )
}
