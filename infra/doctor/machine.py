"""The machine: Python, disk, memory, ports, GPU."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from tempfile import gettempdir

import psutil

from drdd.errors import UserError
from infra.doctor.finding import ANSWER_S, Finding, Site
from infra.doctor.project import cache_folder
from infra.local.settings import LOOPBACK, Ports, port_is_free, ray_folder
from infra.local.supervisor import MARK

GIB = 1024**3
LEAST_DISK, LITTLE_DISK = 1 * GIB, 5 * GIB
FULLEST = 0.95  # Ray keeps nothing on a disk that is fuller
LEAST_INODES, LITTLE_INODES = 1_000, 20_000
LEAST_MEMORY, LITTLE_MEMORY = 1 * GIB, 3 * GIB
SHARED = 500 * 1024**2  # what the stack's Ray asks of /dev/shm
CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
_PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)\s*(;?)", re.MULTILINE)
TORCH = (
    "import torch; print(torch.__version__, torch.cuda.is_available(), torch.cuda.device_count())"
)
NVIDIA = ("--query-gpu=name,memory.free,memory.total,driver_version", "--format=csv,noheader")


def python(site: Site) -> list[Finding]:
    """Is what is installed what requirements.lock pins?"""
    version, lock = platform.python_version(), site.root / "requirements.lock"
    if not lock.exists():
        return [Finding("python", "ok", f"Python {version} in {sys.prefix}; no lock file here")]
    wrong = _differences(lock.read_text())
    if wrong:
        listed = ", ".join(wrong[:3]) + (", ..." if len(wrong) > 3 else "")
        found = f"{len(wrong)} package(s) differ from requirements.lock: {listed}"
        return [Finding("python", "problem", found, "rm -f .venv/installed && make setup")]
    return [Finding("python", "ok", f"Python {version}, as requirements.lock has it")]


def _differences(lock: str) -> list[str]:
    """A pin with a condition may be for another system; of several, one must be met."""
    pins: dict[str, list[str]] = defaultdict(list)
    needed = set()
    for name, pin, condition in _PIN.findall(lock):
        pins[_plain(name)].append(pin)
        if not condition:
            needed.add(_plain(name))
    installed = {_plain(one.name): one.version.split("+")[0] for one in distributions()}
    missing = [f"{name} is missing" for name in sorted(needed - installed.keys())]
    other = [
        f"{name} {installed[name]} instead of {' or '.join(wanted)}"
        for name, wanted in pins.items()
        if name in installed and installed[name] not in wanted
    ]
    return missing + other


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def disk(site: Site) -> list[Finding]:
    """Of each disk on which the project, DVC's cache, temporary files or Ray's files lie."""
    places = {
        "project": site.root,
        "DVC's cache": cache_folder(site.root),
        "temporary files": Path(gettempdir()),
        "Ray": Path(site.environment.get("RAY_TMPDIR") or ray_folder(site.root)),
    }
    disks: dict[int, list[str]] = defaultdict(list)
    paths: dict[int, Path] = {}
    for name, place in places.items():
        path = next(one for one in (place, *place.absolute().parents) if one.exists())
        disks[path.stat().st_dev].append(name)
        paths[path.stat().st_dev] = path
    return [_disk(paths[device], ", ".join(names)) for device, names in disks.items()]


def _disk(path: Path, holds: str) -> Finding:
    seen = os.statvfs(path)
    free, total = seen.f_bavail * seen.f_frsize, seen.f_blocks * seen.f_frsize
    used = 1 - free / total if total else 1.0
    found = f"{_gib(free)} of {_gib(total)} free ({holds})"
    do = f"make room on the disk of {path}: `dvc gc -w`, `drdd models gc --keep 5`, old logs"
    if free < LEAST_DISK:
        return Finding("disk", "problem", found, do)
    if seen.f_files and seen.f_favail < LEAST_INODES:
        return Finding("disk", "problem", f"{seen.f_favail} inodes left ({holds})", do)
    if free < LITTLE_DISK or used > FULLEST:
        return Finding("disk", "warning", f"{found}, {used:.0%} used; Ray minds above 95 %", do)
    if seen.f_files and seen.f_favail < LITTLE_INODES:
        return Finding("disk", "warning", f"{seen.f_favail} inodes left ({holds})", do)
    return Finding("disk", "ok", found)


def memory(site: Site) -> list[Finding]:
    """What is left to use, of the machine or of the container; and of it, /dev/shm for Ray."""
    seen, swap, limit = psutil.virtual_memory(), psutil.swap_memory(), _container()
    free = min(seen.available, limit[0] - limit[1]) if limit else seen.available
    total = min(seen.total, limit[0]) if limit else seen.total
    whose = "of the container's" if limit else "of"
    found = f"{_gib(free)} {whose} {_gib(total)} free, swap {_gib(swap.free)} of {_gib(swap.total)}"
    do = "end what else runs, or set fewer workers and a smaller batch in params.yaml"
    if free < LEAST_MEMORY:
        return [Finding("memory", "problem", found, do)]
    if free < LITTLE_MEMORY:
        return [Finding("memory", "warning", found, do)]
    shared = Path("/dev/shm")
    if shared.exists() and (room := shutil.disk_usage(shared).free) < SHARED:
        found += f"; /dev/shm has {room / 1024**2:.0f} MiB, and Ray would use the disk instead"
        do = "give the container more: docker run --shm-size=1g"
        return [Finding("memory", "warning", found, do)]
    return [Finding("memory", "ok", found)]


def _container() -> tuple[int, int] | None:
    """A control group's limit and what is used of it; None where there is no limit."""
    for limit, usage in CGROUPS:
        try:
            most, used = int(Path(limit).read_text()), int(Path(usage).read_text())
        except (OSError, ValueError):  # "max" is no limit
            continue
        if most < psutil.virtual_memory().total:
            return most, used
    return None


def ports(site: Site) -> list[Finding]:
    """Those of the stack: its own if it is up, else those that `drdd up` would take."""
    state = site.stack
    try:
        wanted = state.ports if state else Ports.chosen() or Ports()
    except UserError as error:
        return [Finding("ports", "problem", str(error), "correct the variable, or unset it")]
    listed = vars(wanted)
    taken = [found for name, port in listed.items() if (found := _taken(site.root, name, port))]
    if taken:
        return taken
    numbers = ", ".join(f"{name} {port}" for name, port in listed.items())
    return [Finding("ports", "ok", f"{numbers}: {'the stack has them' if state else 'all free'}")]


def _taken(root: Path, name: str, port: int) -> Finding | None:
    """None when it is free or held by this very stack."""
    if port_is_free(port):
        return None
    holders = list(_holders(port))
    if any(_environment(one).get(MARK) == str(root.resolve()) for one in holders):
        return None
    by = f"process {holders[0].pid} ({holders[0].name()})" if holders else "someone else"
    do = f"end it, or choose another port: drdd up --{name}-port N"
    return Finding("ports", "problem", f"{LOOPBACK}:{port} ({name}) is held by {by}", do)


def _holders(port: int) -> Iterator[psutil.Process]:
    try:
        for one in psutil.net_connections("tcp"):
            listens = one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port
            if listens and one.pid:
                yield psutil.Process(one.pid)
    except psutil.Error:
        return


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except (psutil.Error, OSError):
        return {}


def gpu(site: Site) -> list[Finding]:
    """What there is, and whether params ask for more."""
    wish, cards = _wish(site), _cards()
    if not wish and not cards:
        return [Finding("gpu", "ok", "none here, and params ask for none")]
    if not cards:
        do = f"set {', '.join(wish)} to 0, or let RAY_ADDRESS name a cluster with GPUs"
        if site.environment.get("RAY_ADDRESS"):
            do = "nothing, if the check of Ray finds GPUs in the cluster"
            return [Finding("gpu", "note", f"none here; params ask for some ({wish[0]})", do)]
        return [Finding("gpu", "problem", f"none here; params ask for some ({wish[0]})", do)]
    seen = subprocess.run(
        [sys.executable, "-c", TORCH], capture_output=True, text=True, timeout=3 * ANSWER_S
    )
    version, works, _ = seen.stdout.split() if seen.returncode == 0 else ("?", "False", "0")
    found = f"{'; '.join(cards)}; torch {version}"
    if works != "True":
        do = "install the torch build for CUDA: rm -f .venv/installed && make setup"
        return [Finding("gpu", "problem" if wish else "warning", f"{found} does not see it", do)]
    if not wish:
        do = "set train.noise.gpus, train.residual.gpus and serve.gpus to use it"
        return [Finding("gpu", "note", f"{found}; params ask for none", do)]
    return [Finding("gpu", "ok", found)]


def _wish(site: Site) -> list[str]:
    """The params that ask for GPUs."""
    params = site.params
    if params is None:
        return []
    asked = {
        "train.noise.gpus": params.train.noise.gpus,
        "train.residual.gpus": params.train.residual.gpus,
        "serve.gpus": params.serve.gpus,
    }
    return [name for name, gpus in asked.items() if gpus]


def _cards() -> list[str]:
    """As the driver lists them; none without a driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run(
            [program, *NVIDIA], capture_output=True, text=True, timeout=ANSWER_S, check=True
        )
    except (subprocess.SubprocessError, OSError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"
