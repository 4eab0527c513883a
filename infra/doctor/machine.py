"""The machine: Python, disk, memory, ports, GPU."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import gettempdir

import psutil
from packaging.requirements import Requirement

from drdd.errors import UserError
from infra.doctor.finding import ANSWER_S, Site, note, problem, warning
from infra.doctor.project import cache_folder
from infra.local.settings import LOOPBACK, Ports, port_holder, port_is_free, ray_folder
from infra.local.supervisor import is_of_stack

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
_PIN = re.compile(r"^[A-Za-z0-9][^\\\n]*", re.MULTILINE)
TORCH = "import torch; print(torch.__version__, torch.cuda.is_available())"
NVIDIA = ("--query-gpu=name,memory.free,memory.total,driver_version", "--format=csv,noheader")


def python(site: Site) -> str:
    """Is what is installed what requirements.lock pins?"""
    ours, lock = platform.python_version(), site.root / "requirements.lock"
    if not lock.exists():
        return f"Python {ours} in {sys.prefix}; no lock file here"
    if wrong := list(_differences(lock.read_text() + _torch_lock(site.root))):
        listed = ", ".join(wrong[:3]) + (", ..." if len(wrong) > 3 else "")
        raise problem(
            f"{len(wrong)} package(s) differ from requirements.lock: {listed}",
            "rm -f .venv/installed && make setup",
        )
    return f"Python {ours}, as requirements.lock has it"


def _torch_lock(root: Path) -> str:
    """The lock of the build that is installed; "" where there is none."""
    try:
        build = "cpu" if version("torch").endswith("+cpu") else "cuda"
        return (root / f"infra/setup/torch.{build}.lock").read_text()
    except (PackageNotFoundError, OSError):
        return ""


def _differences(lock: str) -> Iterator[str]:
    for pin in map(Requirement, _PIN.findall(lock)):
        if pin.marker and not pin.marker.evaluate():
            continue
        try:
            if not pin.specifier.contains(installed := version(pin.name), prereleases=True):
                yield f"{pin.name} {installed} instead of {str(pin.specifier).lstrip('=')}"
        except PackageNotFoundError:
            yield f"{pin.name} is missing"


def disk(site: Site) -> str:
    """Each disk on which the project, DVC's cache, temporary files or Ray's files lie."""
    places = {
        "project": site.root,
        "DVC's cache": cache_folder(site.root),
        "temporary files": Path(gettempdir()),
        "Ray": Path(site.environment.get("RAY_TMPDIR") or ray_folder(site.root)),
    }
    disks: dict[int, dict[str, Path]] = defaultdict(dict)
    for name, place in places.items():
        path = next(one for one in (place, *place.absolute().parents) if one.exists())
        disks[path.stat().st_dev][name] = path
    return "; ".join(_disk(next(iter(held.values())), ", ".join(held)) for held in disks.values())


def _disk(path: Path, holds: str) -> str:
    seen = os.statvfs(path)
    free, total = seen.f_bavail * seen.f_frsize, seen.f_blocks * seen.f_frsize
    used = 1 - free / total if total else 1.0
    inodes = seen.f_favail if seen.f_files else LITTLE_INODES
    found, left = f"{_gib(free)} of {_gib(total)} free ({holds})", f"{inodes} inodes left ({holds})"
    do = f"make room on the disk of {path}: `dvc gc -w`, `drdd models gc --keep 5`, old logs"
    if free < LEAST_DISK:
        raise problem(found, do)
    if inodes < LEAST_INODES:
        raise problem(left, do)
    if free < LITTLE_DISK or used > FULLEST:
        raise warning(f"{found}, {used:.0%} used; Ray minds above 95 %", do)
    if inodes < LITTLE_INODES:
        raise warning(left, do)
    return found


def memory(site: Site) -> str:
    """What is left to use, of the machine or of the container; and of it, /dev/shm for Ray."""
    seen, swap, limit = psutil.virtual_memory(), psutil.swap_memory(), _container()
    free = min(seen.available, limit[0] - limit[1]) if limit else seen.available
    total = min(seen.total, limit[0]) if limit else seen.total
    whose = "of the container's" if limit else "of"
    found = f"{_gib(free)} {whose} {_gib(total)} free, swap {_gib(swap.free)} of {_gib(swap.total)}"
    if free < LITTLE_MEMORY:
        do = "end what else runs, or set fewer workers and a smaller batch in params.yaml"
        raise problem(found, do) if free < LEAST_MEMORY else warning(found, do)
    shared = Path("/dev/shm")
    if shared.exists() and (left := shutil.disk_usage(shared).free) < SHARED:
        raise warning(
            f"{found}; /dev/shm has {left / 1024**2:.0f} MiB, and Ray would use the disk instead",
            "give the container more: docker run --shm-size=1g",
        )
    return found


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


def ports(site: Site) -> str:
    """Those of the stack: its own if it is up, else those that `drdd up` would take."""
    state = site.stack
    try:
        wanted = vars(state.ports if state else Ports.chosen() or Ports())
    except UserError as error:
        raise problem(str(error), "correct the variable, or unset it") from None
    taken = {name: by for name, port in wanted.items() if (by := _holder(site.root, port))}
    if taken:
        flags = " ".join(f"--{name}-port N" for name in taken)
        raise problem(
            "; ".join(f"{LOOPBACK}:{wanted[n]} ({n}) is held by {by}" for n, by in taken.items()),
            f"end it, or choose another port: drdd up {flags}",
        )
    numbers = ", ".join(f"{name} {port}" for name, port in wanted.items())
    return f"{numbers}: {'the stack has them' if state else 'all free'}"


def _holder(root: Path, port: int) -> str:
    """Who has a port; "" when it is free or held by this very stack."""
    if port_is_free(port):
        return ""
    process = port_holder(port)
    if process is None:
        return "someone else"
    return "" if is_of_stack(process, root) else f"process {process.pid} ({process.name()})"


def gpu(site: Site) -> str:
    """What there is, and whether params ask for more."""
    wanted, cards = _params_with_gpus(site), _cards()
    if not cards:
        if not wanted:
            return "none here, and params ask for none"
        found = f"none here; params ask for some ({wanted[0]})"
        if site.environment.get("RAY_ADDRESS"):
            raise note(found, "nothing, if the check of Ray finds GPUs in the cluster")
        do = f"set {', '.join(wanted)} to 0, or let RAY_ADDRESS name a cluster with GPUs"
        raise problem(found, do)
    seen = subprocess.run(
        [sys.executable, "-c", TORCH], capture_output=True, text=True, timeout=3 * ANSWER_S
    )
    torch, works = seen.stdout.split() if seen.returncode == 0 else ("?", "False")
    found = f"{'; '.join(cards)}; torch {torch}"
    if works != "True":
        do = "install the torch build for CUDA: rm -f .venv/installed && make setup"
        raise (problem if wanted else warning)(f"{found} does not see it", do)
    if not wanted:
        do = "set train.noise.gpus, train.residual.gpus and serve.gpus to use it"
        raise note(f"{found}; params ask for none", do)
    return found


def _params_with_gpus(site: Site) -> list[str]:
    if (params := site.params) is None:
        return []
    asked = {
        "train.noise.gpus": params.train.noise.gpus,
        "train.residual.gpus": params.train.residual.gpus,
        "serve.gpus": params.serve.gpus,
    }
    return [name for name, gpus in asked.items() if gpus]


def _cards() -> list[str]:
    """As the driver lists them; none without a driver."""
    try:
        done = subprocess.run(
            ["nvidia-smi", *NVIDIA], capture_output=True, text=True, timeout=ANSWER_S, check=True
        )
    except (subprocess.SubprocessError, OSError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"
