"""`make audit` against a stand-in of the database; its exceptions; `make sbom`."""

import datetime
import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from drdd.errors import UserError
from infra.setup import audit
from tests.conftest import ROOT

TODAY = datetime.date(2026, 12, 1)
ENTRY = '[[exception]]\nid = "{id}"\nwhy = "the function is never called"\nuntil = {until}\n'


@pytest.fixture(scope="module")
def tools() -> Path:
    subprocess.run([ROOT / "infra/setup/tools.sh"], check=True)
    return ROOT / ".venv/tools/bin"


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Knows one fault, of Jinja."""
    fault = {"id": "GHSA-aaaa-bbbb-cccc", "summary": "a fault", "affected": []}
    fault |= {"modified": "2026-01-01T00:00:00Z", "published": "2026-01-01T00:00:00Z"}

    class Database(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = {"vulns": [fault]} if asked["package"]["name"] == "jinja2" else {}
            content = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Database)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OSV_URL", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_a_known_fault_fails_the_audit_until_it_is_excepted(
    tools: Path, database: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "audit.toml"
    path.write_text("")
    assert audit.main(path) == 1
    said = capfd.readouterr()
    assert "jinja2" in said.out
    assert "GHSA-aaaa-bbbb-cccc" in said.out
    path.write_text(ENTRY.format(id="GHSA-aaaa-bbbb-cccc", until="2999-01-01"))
    assert audit.main(path) == 0, capfd.readouterr().err


@pytest.mark.slow
def test_without_the_database_it_says_that_nothing_was_audited(
    tools: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OSV_URL", "http://127.0.0.1:9")
    assert audit.main() == 3
    assert capfd.readouterr().err.startswith("nothing was audited: ")


def test_an_exception_ends_on_its_day(tmp_path: Path) -> None:
    path = tmp_path / "audit.toml"
    path.write_text(ENTRY.format(id="CVE-2026-1", until="2026-12-01"))
    assert audit.exceptions(path, TODAY) == ["CVE-2026-1"]
    with pytest.raises(UserError, match=r"expired: CVE-2026-1 \(2026-12-01\); take the release"):
        audit.exceptions(path, TODAY + datetime.timedelta(days=1))


@pytest.mark.parametrize(
    "text",
    [
        ENTRY.format(id="--require-nothing", until="2026-12-01").replace("--req", "-- req"),
        '[[exception]]\nid = "CVE-1"\nuntil = 2026-12-01\n',
        '[[exception]]\nid = "CVE-1"\nwhy = "because it is so"\n',
        "[[exceptions]]\n",
        "not toml",
    ],
)
def test_an_exception_without_its_reason_or_end_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "audit.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"audit\.toml"):
        audit.exceptions(path, TODAY)


def test_the_exceptions_of_the_project_are_in_force() -> None:
    """Fails on the day after an exception ends."""
    audit.exceptions(ROOT / "infra/setup/audit.toml", datetime.datetime.now(datetime.UTC).date())


@pytest.mark.slow
def test_the_sbom_lists_what_is_installed(tools: Path, tmp_path: Path) -> None:
    made = subprocess.run(
        ["make", "-n", "sbom"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    command = next(line for line in made.stdout.splitlines() if "cyclonedx-py" in line)
    written = tmp_path / "sbom.json"
    subprocess.run(command.replace("sbom.json", str(written)), shell=True, cwd=ROOT, check=True)
    content = json.loads(written.read_text())
    assert content["bomFormat"] == "CycloneDX"
    assert content["metadata"]["component"]["name"] == "drdd"
    found = {one["name"]: one for one in content["components"]}
    assert found.keys() > {"torch", "ray", "prefect", "pillow"}
    assert found["pillow"]["purl"].startswith("pkg:pypi/pillow@")
