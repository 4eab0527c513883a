"""The lock of torch's CPU builds: `python infra/setup/cpu_builds.py CUDA_LOCK CPU_LOCK` prints it.

uv takes a hash for a build only under the build's exact version (2.13.0+cpu), and PyPI has no CPU builds
for Linux. Their hashes come from PyTorch's index, from wheels in the folders that pip is configured with
(find-links), and from the lock that is there. A source that cannot be reached is said on stderr.
"""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote
from urllib.request import urlopen

INDEX = os.environ.get("TORCH_CPU_INDEX", "https://download.pytorch.org/whl/cpu") + "/torch/"
LINK = re.compile(r'href="[^"#]*?([^/"#]+\.whl)#sha256=([0-9a-f]{64})"')


def main(cuda_lock: Path, cpu_lock: Path) -> None:
    """Builds for macOS and Windows are not needed: PyPI's own need no CUDA packages there."""
    pinned = re.search(r"^torch==([0-9.]+)", cuda_lock.read_text(), re.MULTILINE)
    assert pinned, f"{cuda_lock} pins no torch"
    pin, builds = f"torch=={pinned[1]}+cpu", f"torch-{pinned[1]}+cpu-"
    held = cpu_lock.read_text() if cpu_lock.exists() else ""
    hashes = set(re.findall(r"sha256:([0-9a-f]{64})", held)) if f"{pin} " in held else set()
    for name, digest in (*_of_index(), *_of_folders(builds)):
        if name.startswith(builds) and "linux" in name:
            hashes.add(digest)
    if not hashes:
        sys.exit(
            f"no CPU build of torch {pinned[1]} is known: run `make lock` where {INDEX} can be reached, "
            "or put the wheel into a folder that `pip config set global.find-links FOLDER` names"
        )
    sys.stdout.write(
        " \\\n".join([pin, *(f"    --hash=sha256:{one}" for one in sorted(hashes))]) + "\n"
    )


def _of_index() -> Iterator[tuple[str, str]]:
    try:
        with urlopen(INDEX, timeout=30) as answer:
            page = answer.read().decode()
    except OSError as error:
        sys.stderr.write(f"{INDEX} cannot be read ({error}); its hashes are as they were\n")
        return
    for name, digest in LINK.findall(page):
        yield unquote(name), digest


def _of_folders(builds: str) -> Iterator[tuple[str, str]]:
    command = [sys.executable, "-m", "pip", "config", "get", "global.find-links"]
    folders = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    for wheel in (path for folder in folders for path in Path(folder).glob(f"{builds}*.whl")):
        with wheel.open("rb") as content:
            yield wheel.name, hashlib.file_digest(content, "sha256").hexdigest()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
