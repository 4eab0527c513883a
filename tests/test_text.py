"""Text files as people have them: read, or refused in one sentence that names the encoding."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from drdd.errors import UserError
from drdd.params import Serve, load
from drdd.params.edit import add_task
from drdd.registry.signing import SIGNING, TRUSTED, fingerprint, signing_key, trusted_keys
from drdd.serving.replica import keys_of
from drdd.sources.listing import entries
from infra.doctor.project import CONFIGS
from infra.doctor.project import _read as read_dvc_settings
from tests.conftest import ROOT

KEY = Ed25519PrivateKey.generate().public_key()
PEM = KEY.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
UMLAUT = "# f\u00fcr uns\n"


def _params(path: Path) -> object:
    return load(path) == load(ROOT / "params.yaml")


def _keys(path: Path) -> object:
    settings = Serve(api_keys=path.name)
    return keys_of(settings, path.parent) == ("first-key", "second-key")


def _list(path: Path) -> object:
    for name in ("a.png", "b.png"):
        (path.parent / name).write_bytes(b"x")
    return [entry.name for entry in entries(str(path)).files] == ["a.png", "b.png"]


def _trusted(path: Path) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TRUSTED, str(path))
        return list(trusted_keys()) == [fingerprint(KEY)]


def _settings(path: Path) -> object:
    return read_dvc_settings(path.parent.parent) == {"core": {"remote": "storage"}}


Reader = Callable[[Path], object]
FILES: dict[str, tuple[str, Reader]] = {
    "params.yaml": ((ROOT / "params.yaml").read_text(), _params),
    "keys.txt": ("first-key\n\n# a comment\nsecond-key\n", _keys),
    "list.txt": ("a.png\n\n# a comment\nb.png\n", _list),
    "table.csv": ("id,image\n1,a.png\n2,b.png\n", _list),
    "trusted.pem": (PEM, _trusted),
    CONFIGS[0]: ("[core]\nremote = storage\n", _settings),
}
READ: dict[str, Callable[[str], bytes]] = {
    "UTF-8": str.encode,
    "UTF-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "CRLF with a mark": lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
    "CR alone": lambda text: text.replace("\n", "\r").encode(),
    "no last line break": lambda text: text.rstrip("\n").encode(),
    "trailing blanks": lambda text: text.replace("\n", "  \n").encode(),
}
REFUSED: dict[str, tuple[Callable[[str], bytes], str]] = {
    "UTF-16": (lambda text: text.encode("utf-16"), "is in UTF-16; save it as UTF-8"),
    "UTF-16 BE": (lambda text: b"\xfe\xff" + text.encode("utf-16-be"), "is in UTF-16; save it"),
    "UTF-16 LE, no mark": (
        lambda text: text.encode("utf-16-le"),
        "in UTF-16 without its mark; save",
    ),
    "UTF-16 BE, no mark": (
        lambda text: text.encode("utf-16-be"),
        "in UTF-16 without its mark; save",
    ),
    "UTF-32": (lambda text: text.encode("utf-32"), "is in UTF-32; save it as UTF-8"),
    "a zero byte": (lambda text: text.encode() + b"x\0\0\n", "holds a zero byte, so it is no text"),
}
LATIN = "holds the byte 0xFC, which is no UTF-8, so the file is in Latin-1"


@pytest.mark.parametrize("encoding", READ)
@pytest.mark.parametrize("name", FILES)
def test_what_people_have_is_read(name: str, encoding: str, tmp_path: Path) -> None:
    text, read = FILES[name]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(READ[encoding](text))
    assert read(path)


@pytest.mark.parametrize("encoding", REFUSED)
@pytest.mark.parametrize("name", FILES)
def test_another_encoding_is_refused_by_its_name(name: str, encoding: str, tmp_path: Path) -> None:
    text, read = FILES[name]
    encode, said = REFUSED[encoding]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode(text))
    with pytest.raises(UserError, match=said) as error:
        read(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", sorted(FILES.keys() - {"list.txt", "table.csv"}))
def test_latin_1_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    text, read = FILES[name]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(f"\n{UMLAUT}{text}".encode("latin-1"))
    with pytest.raises(UserError, match=f"line 2 {LATIN}"):
        read(path)


@pytest.mark.parametrize("what", ["folder", "pipe", "nothing"])
@pytest.mark.parametrize("name", sorted(FILES.keys() - {"list.txt", "table.csv", CONFIGS[0]}))
def test_what_is_no_file_is_said(name: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    with pytest.raises(
        UserError, match=r"is a folder|is no regular file|does not exist|No such file"
    ):
        FILES[name][1](path)


@pytest.mark.parametrize(
    "key", ["schl\u00fcssel", "two words", "\ufeffkey", "a\u00a0b", "k\u200bey"]
)
def test_a_key_that_no_client_can_send_is_refused(key: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"good\n\n{key}\n")
    with pytest.raises(UserError, match=r"serve.api_keys: keys: line 3 holds a blank or") as error:
        keys_of(Serve(api_keys="keys"), tmp_path)
    assert key not in str(error.value)
    assert str(tmp_path) not in str(error.value)


@pytest.mark.parametrize("variable", [TRUSTED, SIGNING])
def test_a_variable_of_blanks_is_no_variable_that_is_not_set(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {TRUSTED: trusted_keys, SIGNING: signing_key}[variable]
    for blank in (" ", "\n", "\t ", "\u00a0"):
        monkeypatch.setenv(variable, blank)
        with pytest.raises(UserError, match="holds only blanks; set it to a PEM file, or unset it"):
            asked()
    monkeypatch.setenv(variable, "")  # what compose and Kubernetes give for one that is not set
    assert not asked()


def test_a_key_that_is_cut_short_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRUSTED, PEM + PEM[: len(PEM) // 2])
    with pytest.raises(UserError, match="cut short"):
        trusted_keys()


@pytest.mark.parametrize("encoding", READ)
def test_a_task_is_added_and_every_other_byte_stays(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    before = READ[encoding](FILES["params.yaml"][0])
    path.write_bytes(before)
    written = add_task("coloured", {"corpora": ["nature"], "degradation": [{"kind": "grey"}]}, path)
    newline = {"CRLF": "\r\n", "CRLF with a mark": "\r\n", "CR alone": "\r"}.get(encoding, "\n")
    new = "".join(f"  {line}{newline}" for line in written.splitlines()).encode()
    assert path.read_bytes().replace(new, b"") == before
    assert "coloured" in load(path).tasks


def test_the_command_line_says_it_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(UMLAUT.encode("latin-1"))
    command = [sys.executable, "-c", "from drdd.cli.main import main; main()", "tasks", "list"]
    ran = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, text=True, stderr=subprocess.PIPE
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"error: params.yaml: line 1 {LATIN}")
    assert len(ran.stderr.splitlines()) == 1
