"""supervisord for one stack: its configuration, and a client for its control socket."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil

from drdd.errors import UserError
from drdd.files import write_bytes
from drdd.private_files import private_folder, socket_base
from infra.local.services import Service
from infra.local.settings import folder, short_folder, socket_path

MARK = "DRDD_STACK"  # in the environment of all that the stack starts, so that none is ever lost
STOP_S = 15


@dataclass(frozen=True)
class Process:
    """state: supervisord's, such as RUNNING, BACKOFF or FATAL; since: Unix time of the start."""

    state: str
    pid: int
    since: float


class Supervisor:
    """The stack's supervisord, running or not."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._folder = folder(root)
        self._socket = socket_path(root)

    def log(self, service: str) -> Path:
        return self._folder / "logs" / f"{service}.log"

    def processes(self) -> dict[str, Process] | None:
        """By service; None when supervisord does not run."""
        try:
            listed: Any = self._proxy().supervisor.getAllProcessInfo()
        except (OSError, Fault):
            return None
        return {
            item["name"]: Process(item["statename"], item["pid"], item["start"]) for item in listed
        }

    def launch(self, services: Iterable[Service], environment: Mapping[str, str]) -> None:
        """Start supervisord with nothing running yet. Raises UserError when it does not start."""
        private_folder(self._socket.parent)
        (self._folder / "logs").mkdir(parents=True, exist_ok=True)
        configuration = self._folder / "supervisord.conf"
        write_bytes(configuration, self._configuration(services).encode())
        done = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
            env={**os.environ, **environment, **self._own()},
            cwd=self._root,
            capture_output=True,
            text=True,
        )
        give_up = time.monotonic() + STOP_S
        while done.returncode == 0 and time.monotonic() < give_up:
            if self.processes() is not None:
                return
            time.sleep(0.05)
        raise UserError(
            f"supervisord did not start: {done.stderr.strip() or self.log('supervisord')}"
        )

    def _own(self) -> dict[str, str]:
        """Programs of this environment, and a temporary folder in which multiprocessing has sockets too."""
        return {"PATH": _path(), "TMPDIR": str(socket_base()), MARK: str(self._root)}

    def start(self, service: str) -> None:
        """No wait; starting what runs is no error."""
        try:
            self._proxy().supervisor.startProcess(service, False)
        except Fault as fault:
            if "ALREADY_STARTED" not in fault.faultString:
                raise UserError(f"{service} does not start: {fault.faultString}") from None

    def restart(self, service: str) -> None:
        """Stop it, and start it without a wait."""
        self._proxy().supervisor.stopProcess(service)
        self.start(service)

    def shut_down(self) -> None:
        """Stop all services, supervisord, and whatever a crash left behind."""
        if self.processes() is not None:
            self._proxy().supervisor.shutdown()
            give_up = time.monotonic() + 2 * STOP_S
            while self.processes() is not None and time.monotonic() < give_up:
                time.sleep(0.1)
        stray = list(self._marked())
        for process in stray:
            _send(process, "terminate")
        _, alive = psutil.wait_procs(stray, timeout=5)
        for process in alive:
            _send(process, "kill")
        psutil.wait_procs(alive, timeout=5)
        shutil.rmtree(short_folder(self._root), ignore_errors=True)

    def _marked(self) -> Iterable[psutil.Process]:
        for process in psutil.process_iter():
            if is_of_stack(process, self._root) and process.pid != os.getpid():
                yield process

    def _proxy(self) -> Any:
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        return ServerProxy("http://127.0.0.1", transport=transport)

    def _configuration(self, services: Iterable[Service]) -> str:
        """Keys reach the services by the environment: none is in this file."""
        sections = [
            "[supervisord]",
            f"logfile={_plain(self.log('supervisord'))}",
            "logfile_maxbytes=1MB",
            "logfile_backups=1",
            f"pidfile={_plain(self._folder / 'supervisord.pid')}",
            f"childlogdir={_plain(self._folder / 'logs')}",
            f"identifier=drdd-{short_folder(self._root).name}",
            "[unix_http_server]",
            f"file={_plain(self._socket)}",
            "chmod=0600",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        ]
        for service in services:
            service.folder.mkdir(parents=True, exist_ok=True)
            sections += [
                f"[program:{service.name}]",
                f"command={' '.join(_quoted(part) for part in service.command)}",
                f"directory={_plain(service.folder)}",
                f"stdout_logfile={_plain(self.log(service.name))}",
                "stdout_logfile_maxbytes=5MB",
                "stdout_logfile_backups=1",
                "redirect_stderr=true",
                "autostart=false",
                "autorestart=true",
                "startsecs=1",
                "startretries=3",
                f"stopwaitsecs={STOP_S}",
                "stopasgroup=true",
                "killasgroup=true",
            ]
        return "\n".join(sections) + "\n"


def stacks_running() -> set[Path]:
    """The projects of this user whose stacks have processes."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if root := process.environ().get(MARK):
                found.add(Path(root))
    return found


def is_of_stack(process: psutil.Process, root: Path) -> bool:
    """Whether a process belongs to the stack of the project at `root`."""
    try:
        return bool(process.environ().get(MARK) == str(root.resolve()))
    except (psutil.Error, OSError):
        return False


def _path() -> str:
    """This environment's programs first: stages are started as `python -m ...`."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _plain(value: object) -> str:
    return str(value).replace("%", "%%")


def _quoted(part: str) -> str:
    return '"' + _plain(part).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _send(process: psutil.Process, how: str) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        getattr(process, how)()
