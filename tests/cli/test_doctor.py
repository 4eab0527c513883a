"""`drdd doctor`: conditions that really fail, each named, with what to do, and never a secret."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from drdd.cli.main import app
from infra.doctor import machine, project, services
from infra.doctor.cli import CHECKS
from infra.doctor.finding import Check, Finding, NotOk, Site, examine, worst
from infra.local import stack
from infra.local.settings import Ports, free_port, new_state, save_state
from tests.conftest import ROOT
from tests.project import environment, make_project, tiny_params

SECRET = "hush-hush-hush"
DEAD = "http://127.0.0.1:9"
Answer = Callable[[BaseHTTPRequestHandler, bytes], tuple[int, dict[str, str], bytes]]
OUTSIDE = ("AWS_", "PREFECT_", "RAY_", "DRDD_")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A project's folder in which nothing was ever started."""
    for name in [name for name in os.environ if name.startswith(OUTSIDE)]:
        monkeypatch.delenv(name)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copy(ROOT / "prefect.yaml", tmp_path)
    (tmp_path / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", tmp_path / ".dvc/config")
    monkeypatch.chdir(tmp_path)
    own = {"DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    return Site(tmp_path, {"PATH": os.environ["PATH"], **own})


def _with(site: Site, **settings: str) -> Site:
    return Site(site.root, {**site.environment, **settings})


def _found(site: Site, check: Check) -> Finding:
    """As doctor would show it."""
    (found,) = examine(site, {"it": check})
    assert found.do or found.state == "ok", found
    assert SECRET not in found.found + found.do
    return found


@contextmanager
def _server(
    answer: Callable[[BaseHTTPRequestHandler, bytes], tuple[int, dict[str, str], bytes]],
) -> Iterator[str]:
    """An HTTP server that says what it is told to say."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: Any) -> None:
            pass

        def send_response(self, code: int, message: str | None = None) -> None:
            self.send_response_only(code, message)  # the date is the answer's own

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, content = answer(self, body)
            self.send_response(status)
            for name, value in ({"Date": formatdate(usegmt=True)} | headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _aws(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def test_where_nothing_runs_that_is_no_problem(site: Site) -> None:
    for check in (services.registry, services.prefect, services.ray, project.dvc_remote):
        found = _found(site, check)
        assert found.state == "note", found
        assert "stack is not running" in found.found
        assert "drdd up" in found.do


def test_a_port_that_someone_else_holds_is_said(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("S3", "PREFECT", "RAY", "SERVE", "DASHBOARD"):
        monkeypatch.setenv(f"DRDD_{name}_PORT", str(free_port(10_000)))
    assert _found(site, machine.ports).state == "ok"
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        monkeypatch.setenv("DRDD_PREFECT_PORT", str(port))
        found = _found(site, machine.ports)
    assert found.state == "problem"
    assert f"127.0.0.1:{port} (prefect) is held by process {os.getpid()} (" in found.found
    assert "--prefect-port" in found.do
    monkeypatch.setenv("DRDD_PREFECT_PORT", "many")
    assert "DRDD_PREFECT_PORT" in _found(site, machine.ports).found


def test_a_store_that_works_is_left_as_it_was(site: Site, s3: dict[str, str]) -> None:
    site = _with(site, DRDD_REGISTRY="s3://drdd/doctored", **s3)
    found = _found(site, services.registry)
    assert found.state == "ok", found
    assert "conditional writes heeded" in found.found
    assert _found(site, services.clock).state == "ok"
    assert _found(site, project.dvc_remote).state == "ok"
    from drdd.storage.objects import Store

    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.items():
            patch.setenv(name, value)
        assert Store("s3://drdd/doctored").names("", unfinished=True) == []


def test_keys_of_another_store_are_never_sent_to_the_stack(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = new_state(Ports(), None)
    save_state(site.root, state)
    monkeypatch.setattr(Site, "stack", property(lambda self: state))
    assert site.bucket_settings is not None
    assert site.bucket_settings["AWS_ACCESS_KEY_ID"] == state.access_key
    theirs = _with(site, AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY=SECRET)
    assert theirs.bucket_settings == theirs.environment


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"AWS_SECRET_ACCESS_KEY": SECRET}, "SignatureDoesNotMatch"),
        ({"AWS_ACCESS_KEY_ID": "unknown"}, "InvalidAccessKeyId"),
        ({"DRDD_REGISTRY": "s3://no-such-bucket/models"}, "NoSuchBucket"),
        ({"AWS_ENDPOINT_URL": DEAD}, "does not answer"),
    ],
)
def test_a_store_that_refuses_is_said(
    site: Site, s3: dict[str, str], changes: dict[str, str], said: str
) -> None:
    found = _found(
        _with(site, **{"DRDD_REGISTRY": "s3://drdd/doctored", **s3, **changes}), services.registry
    )
    assert found.state == "problem"
    assert said in found.found
    assert s3["AWS_SECRET_ACCESS_KEY"] not in found.found + found.do


def test_a_store_that_ignores_conditions_is_refused(site: Site) -> None:
    objects: dict[str, bytes] = {}

    def simple(request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """As S3 was before conditional writes."""
        path = request.path.partition("?")[0]
        if "list-type" in request.path:
            return 200, {}, b"<ListBucketResult></ListBucketResult>"
        if request.command == "PUT":
            objects[path] = body
            return 200, {"ETag": '"e"'}, b""
        if request.command == "DELETE":
            objects.pop(path, None)
            return 204, {}, b""
        return (200, {"ETag": '"e"'}, objects[path]) if path in objects else (404, {}, b"")

    with _server(simple) as endpoint:
        site = _with(site, **_aws(endpoint))
        found = _found(site, services.registry)
        assert _found(site, project.dvc_remote).state == "ok"  # which needs no conditions
    assert found.state == "problem"
    assert "ignores IfNoneMatch and IfMatch" in found.found
    assert "newer server" in found.do
    assert objects == {}


@pytest.mark.parametrize(
    ("ahead_s", "state"), [(-1200, "problem"), (1200, "problem"), (120, "warning"), (0, "ok")]
)
def test_a_clock_that_is_wrong_is_said(site: Site, ahead_s: int, state: str) -> None:
    def dated(request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        return 403, {"Date": formatdate(time.time() + ahead_s, usegmt=True)}, b""

    with _server(dated) as endpoint:
        found = _found(_with(site, **_aws(endpoint)), services.clock)
    assert found.state == state, found
    if state != "ok":
        assert ("behind" if ahead_s > 0 else "ahead of") in found.found


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"f_bavail": 100_000}, "problem"),  # blocks of 4096 bytes
        ({"f_bavail": 1_000_000}, "warning"),
        ({"f_bavail": 2_000_000, "f_blocks": 100_000_000}, "warning"),
        ({"f_favail": 10, "f_files": 1_000_000}, "problem"),
        ({"f_favail": 0, "f_files": 0}, "ok"),  # a file system without inodes to run out of
    ],
)
def test_a_disk_that_is_nearly_full_is_said(
    site: Site, monkeypatch: pytest.MonkeyPatch, changes: dict[str, int], state: str
) -> None:
    class Seen:
        f_frsize, f_bavail, f_blocks = 4096, 10_000_000, 20_000_000
        f_files, f_favail = 1_000_000, 900_000

    seen = Seen()
    vars(seen).update(changes)
    monkeypatch.setattr(os, "statvfs", lambda path: seen)
    found = _found(site, machine.disk)
    assert found.state == state, found
    assert state == "ok" or "make room" in found.do


def test_a_container_with_little_memory_is_said(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    most, used = tmp_path / "max", tmp_path / "current"
    monkeypatch.setattr(machine, "CGROUPS", ((str(most), str(used)),))
    used.write_text(str(machine.GIB))
    most.write_text(str(machine.GIB * 3 // 2))
    found = _found(site, machine.memory)
    assert found.state == "problem"
    assert "0.5 GiB of the container's 1.5 GiB" in found.found
    most.write_text("max")
    assert "container" not in _found(site, machine.memory).found


def test_packages_that_differ_from_the_lock_are_said(site: Site) -> None:
    lock = site.root / "requirements.lock"
    lock.write_text(
        "torch==2.0.0\nnever-heard-of==1.0 \\\n    --hash=sha256:00\n"
        "colorama==9.9 ; sys_platform == 'win32'\n"
    )
    found = _found(site, machine.python)
    assert found.state == "problem"
    assert "never-heard-of is missing" in found.found
    assert "instead of 2.0.0" in found.found
    assert "make setup" in found.do
    shutil.copy(ROOT / "requirements.lock", lock)
    assert _found(site, machine.python).state == "ok"


def test_what_params_wish_of_gpus_is_held_against_what_is_there(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_cards", list)
    assert _found(site, machine.gpu).state == "ok"
    text = (site.root / "params.yaml").read_text()
    (site.root / "params.yaml").write_text(text.replace("gpus: 0.0", "gpus: 1.0"))
    found = _found(site, machine.gpu)
    assert found.state == "problem"
    assert "train.noise.gpus" in found.found
    assert _found(_with(site, RAY_ADDRESS="10.0.0.1:6379"), machine.gpu).state == "note"


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a card here")
def test_a_card_that_torch_does_not_see_is_said(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = site.root / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'NVIDIA H200, 140000 MiB, 143771 MiB, 570.1'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{site.root}{os.pathsep}{os.environ['PATH']}")
    found = _found(site, machine.gpu)
    assert found.state == "warning"
    assert "NVIDIA H200" in found.found
    assert "does not see it" in found.found


def test_params_that_are_wrong_are_said_and_hurt_no_other_check(site: Site) -> None:
    (site.root / "params.yaml").write_text("seed: 0\nsede: 1\n")
    assert "did you mean 'seed'" in _found(site, project.params).found
    assert _found(site, services.registry).state == "problem"
    for check in (machine.gpu, machine.disk, services.clock, services.ray):
        assert "not examined" not in _found(site, check).found


def test_a_folder_without_a_commit_is_said(site: Site) -> None:
    assert "is no checkout" in _found(site, project.git).found
    subprocess.run(["git", "init", "-q", str(site.root)], check=True)
    assert "no commit yet" in _found(site, project.git).found
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    for arguments in (("add", "--all"), (*identity, "commit", "-qm", "start")):
        subprocess.run(["git", *arguments], cwd=site.root, check=True)
    assert _found(site, project.git).state == "ok"


def test_dvc_without_a_remote_and_with_broken_settings_or_locks(site: Site) -> None:
    config, locks = site.root / ".dvc/config", site.root / ".dvc/tmp"
    config.write_text("[core]\n    remote = near\n['remote \"near\"']\n    url = ../near\n")
    for check in (project.dvc, project.dvc_remote, project.dvc_cache):
        assert _found(site, check).state == "ok"
    assert project.dvc_lock(site) is None
    locks.mkdir()
    dead = subprocess.Popen(["true"])
    dead.wait()
    entry = {"pid": dead.pid, "cmd": "dvc repro"}
    (locks / "rwlock").write_text(json.dumps({"write": {"/a": entry}, "read": {"/b": [entry]}}))
    assert f"dead process ({dead.pid})" in _found(site, project.dvc_lock).found
    (locks / "rwlock").write_text('{"write": {')
    found = _found(site, project.dvc_lock)
    assert (found.state, found.do) == ("problem", f"rm {locks / 'rwlock'}")
    (locks / "rwlock").unlink()
    config.write_text("[core]\n")
    assert "no remote" in _found(site, project.dvc_remote).found
    config.write_text("[core\n")
    assert "cannot be read" in _found(site, project.dvc).found
    assert project.dvc_remote(site) is project.dvc_cache(site) is None


def test_an_address_that_is_dead_is_said(site: Site) -> None:
    dead = _with(site, PREFECT_API_URL=f"{DEAD}/api", RAY_ADDRESS="127.0.0.1:9", **_aws(DEAD))
    for check in (services.prefect, services.ray, services.registry):
        found = _found(dead, check)
        assert found.state == "problem", found
        assert "does not answer" in found.found
    assert _found(dead, project.dvc_remote).state == "problem"
    assert _found(dead, services.clock).state == "note"


def test_services_that_never_answer_do_not_hang_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (services, machine, project):
        monkeypatch.setattr(module, "ANSWER_S", 0.5)
    monkeypatch.setattr("infra.doctor.places.ANSWER_S", 0.5)
    monkeypatch.setattr(services, "STARTING_S", 1.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        url = f"http://{address}"
        site = _with(site, PREFECT_API_URL=f"{url}/api", RAY_ADDRESS=address, **_aws(url))
        began = time.monotonic()
        findings = examine(site, CHECKS, patience_s=10)
    assert time.monotonic() - began < 12
    problems = {one.check for one in findings if one.state == "problem"}
    assert {"registry", "prefect", "ray", "dvc remote"} <= problems
    assert not [one for one in findings if "no answer in" in one.found]


def test_a_check_that_hangs_or_breaks_is_a_finding(site: Site) -> None:
    never = threading.Event()

    def breaks(site: Site) -> str:
        raise RuntimeError(f"with {SECRET} in it")

    checks: dict[str, Check] = {
        "hangs": lambda site: str(never.wait(60)),
        "breaks": breaks,
        "nothing to tell": lambda site: None,
        "fine": lambda site: "",
    }
    secretive = _with(site, PREFECT_API_KEY=SECRET)
    hangs, broken, fine = examine(secretive, checks, patience_s=0.2)
    never.set()
    assert (hangs.state, broken.state, fine.state) == ("problem", "warning", "ok")
    assert "RuntimeError: with *** in it" in broken.found
    assert worst([hangs, broken, fine]) == "problem"


def _prefect(worker: str | None, names: list[str], version: str, asks: bool = True) -> Answer:
    """As the server's API answers. worker: its status, None for no worker; asks: for a string."""
    content = {
        "/api/health": True,
        "/api/admin/version": version,
        "/api/work_pools/drdd": {"name": "drdd", "is_paused": False},
        "/api/work_pools/drdd/workers/filter": [{"status": worker}] if worker else [],
        "/api/deployments/filter": [{"name": n, "work_pool_name": "drdd"} for n in names],
    }

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if asks and not request.headers["Authorization"] and request.path != "/api/health":
            return 401, {}, b""
        return 200, {"Content-Type": "application/json"}, json.dumps(content[request.path]).encode()

    return answer


def test_a_prefect_server_that_answers_anybody_is_said(site: Site) -> None:
    with _server(_prefect("ONLINE", [], "3.8.8", asks=False)) as url:
        found = _found(_with(site, PREFECT_API_URL=f"{url}/api"), services.prefect)
    assert found.state == "warning"
    assert "answers anybody" in found.found


@pytest.mark.parametrize(
    ("worker", "lacking", "version", "state", "said"),
    [
        ("ONLINE", "", "", "ok", "version"),
        ("OFFLINE", "", "", "problem", "no worker online"),
        (None, "", "", "problem", "no worker online"),
        ("ONLINE", "promote", "", "problem", "lacks the deployments promote"),
        ("ONLINE", "", "3.0.0", "warning", "is 3.0.0, the client"),
    ],
)
def test_what_prefect_lacks_is_said(
    site: Site, worker: str | None, lacking: str, version: str, state: str, said: str
) -> None:
    import importlib.metadata

    names = [name for name in services._deployments(ROOT) if name != lacking]
    assert {"full-pipeline", "nightly"} <= set(names)
    version = version or importlib.metadata.version("prefect")
    with _server(_prefect(worker, names, version)) as url:
        asked = _with(site, PREFECT_API_URL=f"{url}/api", PREFECT_API_AUTH_STRING=f"drdd:{SECRET}")
        server, pool = (_found(asked, one) for one in (services.prefect, services.work_pool))
    found = pool if server.state == "ok" and state != "ok" else server
    assert worst([server, pool]) == found.state == state, found
    assert said in found.found


def test_a_cluster_that_is_too_small_or_another_version_is_said(site: Site) -> None:
    asked: dict[str, Any] = {"nodes": [{"CPU": 1.0}, {"CPU": 1.0}], "version": ""}
    assert "2 node(s)" in services._cluster("head:6379", asked, site.params)
    text = (site.root / "params.yaml").read_text()
    (site.root / "params.yaml").write_text(text.replace("threads: 1\n", "threads: 4\n"))
    with pytest.raises(NotOk) as small:
        services._cluster("head:6379", asked, site.params)
    assert small.value.state == "problem"
    assert "train.noise.workers x threads want 4 CPUs" in small.value.found
    with pytest.raises(NotOk) as older:
        services._cluster("head:6379", asked | {"version": "1.0"}, None)
    assert older.value.state == "problem"
    assert "it is 1.0" in older.value.found


def test_the_command_prints_a_table_or_json_and_is_an_exit_code(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("S3", "PREFECT", "RAY", "SERVE", "DASHBOARD"):
        monkeypatch.setenv(f"DRDD_{name}_PORT", str(free_port(10_000)))
    for name, value in _aws(DEAD).items():
        monkeypatch.setenv(name, value)
    shown = CliRunner().invoke(app, ["doctor"])
    assert shown.exit_code == 1
    assert "registry" in shown.output
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 1
    content = json.loads(done.output)
    assert content["state"] == "problem"
    found = {one["check"]: one for one in content["findings"]}
    assert found["registry"]["state"] == "problem"
    assert found["params"]["state"] == "ok"
    assert all(one["do"] for one in content["findings"] if one["state"] != "ok")
    assert SECRET not in shown.output + done.output


@pytest.mark.long
def test_a_project_whose_stack_runs_is_well_until_that_stops(tmp_path: Path) -> None:
    """The whole stack, on ports of its own."""
    params = tiny_params()
    params["publish"]["registry"] = "s3://drdd/models"
    root = make_project(tmp_path / "project", params)
    ports = Ports(free_port(10_000), *(free_port() for _ in range(4)))
    command = [sys.executable, "-c", "from drdd.cli.main import main; main()", "doctor", "--json"]

    def ask() -> dict[str, dict[str, str]]:
        done = subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True)
        return {one["check"]: one for one in json.loads(done.stdout)["findings"]}

    try:
        stack.up(root, ports)
        found = ask()
        well = ("python", "params", "git", "ports", "registry", "clock", "dvc remote")
        for name in (*well, "prefect", "work pool", "ray"):
            assert found[name]["state"] == "ok", found[name]
        assert "1 node(s)" in found["ray"]["found"]
        assert "conditional writes heeded" in found["registry"]["found"]
    finally:
        stack.down(root)
    found = ask()
    for name in ("registry", "prefect", "ray"):
        assert found[name]["state"] == "note", found[name]
