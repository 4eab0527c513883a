#!/usr/bin/env bash
# Makes .venv/tools, from tools.lock: an environment of its own, so that it is not among what it lists.
set -euo pipefail
cd "$(dirname "$0")/../.."
stamp=.venv/tools/installed
if [ -f $stamp ] && [ $stamp -nt infra/setup/tools.lock ]; then exit 0; fi
.venv/bin/uv venv --quiet --clear --python .venv/bin/python .venv/tools
.venv/bin/uv pip install --quiet --python .venv/tools/bin/python --require-hashes --only-binary :all: \
  -r infra/setup/tools.lock
touch $stamp
