#!/usr/bin/env bash
# Makes .venv from requirements.lock. A folder of local wheels that pip is configured with (find-links)
# is used too: that is where a machine without a GPU can keep torch's much smaller CPU build.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/it" >&2; exit 1; }
stamp=.venv/installed
if [ -f $stamp ] && [ $stamp -nt requirements.lock ] && [ $stamp -nt pyproject.toml ]; then exit 0; fi
echo "installing the pinned dependencies into .venv"
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==0.13.9" 2>/dev/null ||
  .venv/bin/python -m pip install "uv==0.13.9"
links=()
for folder in $(.venv/bin/python -m pip config get global.find-links 2>/dev/null || true); do
  links+=(--find-links "$folder")
done
# Bytecode is compiled once, here: otherwise each of a run's many processes compiles all its imports.
.venv/bin/uv pip install --quiet --compile-bytecode --verify-hashes "${links[@]}" -r requirements.lock
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation --editable .
touch $stamp
