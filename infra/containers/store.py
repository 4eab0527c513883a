"""`python -m infra.containers.store`: the S3 server of a container, on all of its addresses.

The local stack's server (infra/local/services.py) with the keys of AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY; its data lie in /data, or the folder that is named. With --check: exit code 0
if it takes an object.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import httpx

from drdd.private_files import private_folder
from infra.local.services import services, write_s3_files
from infra.local.settings import LOOPBACK, RAY_PORTS, Ports, StackState, short_folder

# They ask for a certificate or a token that the server alone has.
INNER = {"master": 9333, "volume": 9340, "filer": 8888, "admin": 9350}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("/data"))
    parser.add_argument("--port", type=int, default=8333)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    keys = (os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    state = StackState(Ports(s3=given.port), INNER | dict.fromkeys(RAY_PORTS, 0), *keys)
    server = services(given.data, state)["s3"]
    if given.check:
        raise SystemExit(not _takes(server.healthy))
    write_s3_files(given.data, state)
    private_folder(short_folder(given.data))
    os.chdir(server.folder)
    everywhere = f"-ip.bind={LOOPBACK}", "-ip.bind=0.0.0.0"
    os.execv(server.command[0], [part.replace(*everywhere) for part in server.command])


def _takes(healthy: Callable[[], bool]) -> bool:
    try:
        return healthy()
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
