#!/usr/bin/env bash
# Writes requirements.lock: every package at one version, with hashes, for all platforms.
# torch alone has no hash, and its CUDA packages are left to torch's own exact pins, so that the same
# file installs a CPU build where one is configured (see install.sh) and the CUDA build elsewhere.
set -euo pipefail
cd "$(dirname "$0")/../.."
compile() {
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
    --generate-hashes --extra dev pyproject.toml --output-file requirements.lock "$@"
}
compile "$@" # --upgrade takes new releases, --upgrade-package NAME one; without, pins are kept
left_out=$(grep -oE '^(nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+|triton|torch)==' requirements.lock |
  tr -d '=' | sort -u)
# Else nothing was compiled (`--help`), and what follows would write a lock with all of CUDA.
[ "$left_out" != torch ] || { echo "nothing compiled; requirements.lock is as it was" >&2; exit 1; }
version=$(grep -oE '^torch==[0-9.]+' requirements.lock)
compile $(printf -- '--no-emit-package %s ' $left_out)
sed -i '/^# The following packages were excluded/,$d' requirements.lock
echo "$version" >>requirements.lock
