#!/usr/bin/env bash
# Writes the locks: every package at one version, with the hashes of its files, for all platforms.
#   requirements.lock             everything but torch
#   infra/setup/torch.cuda.lock   torch as PyPI has it, with the CUDA packages that it needs on Linux
#   infra/setup/torch.cpu.lock    torch's CPU builds, which need none: one of the two is installed
#   infra/setup/kubernetes.lock   what the image has beside these
#   infra/setup/bootstrap.lock    uv, which installs the others
#   infra/setup/tools.lock        what `make sbom` and `make audit` run, in an environment of its own
# Arguments go to uv: --upgrade takes new releases, --upgrade-package NAME one; without, pins are kept.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
compile() {
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
    --generate-hashes "$@"
}
# One resolution, so that all agree; a lock that is there gives the pins that are kept.
cat requirements.lock infra/setup/torch.cuda.lock >"$work/all"
compile --extra dev pyproject.toml --output-file "$work/all" "$@"
grep -q '^torch==' "$work/all" || { echo "nothing compiled; the locks are as they were" >&2; exit 1; }
awk -v out="$work" '
  /^#/ { next }
  /^[a-zA-Z0-9]/ { file = /^(nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+|triton|torch)==/ ? "cuda" : "base" }
  { print >(out "/" file) }' "$work/all"

cp infra/setup/kubernetes.lock "$work/kubernetes"
compile --constraint <(sed -nE 's/^([A-Za-z0-9_.-]+==[^ \\]+( ; [^\\]+)?).*/\1/p' "$work/base") \
  $(sed -nE 's/^([A-Za-z0-9_.-]+)==.*/--no-emit-package \1/p' "$work/base") \
  --output-file "$work/kubernetes" <(echo "prefect-kubernetes==0.8.*") "$@"
sed -i '/^# The following packages were excluded/,$d' "$work/kubernetes"

cp infra/setup/bootstrap.lock "$work/bootstrap"
compile --output-file "$work/bootstrap" <(echo uv) "$@"
cp infra/setup/tools.lock "$work/tools"
compile --output-file "$work/tools" <(printf '%s\n' "cyclonedx-bom==7.*" "pip-audit==2.10.*") "$@"
.venv/bin/python infra/setup/cpu_builds.py "$work/cuda" infra/setup/torch.cpu.lock >"$work/cpu"

mv "$work/base" requirements.lock
mv "$work/cuda" infra/setup/torch.cuda.lock
mv "$work/cpu" infra/setup/torch.cpu.lock
mv "$work/kubernetes" infra/setup/kubernetes.lock
mv "$work/bootstrap" infra/setup/bootstrap.lock
mv "$work/tools" infra/setup/tools.lock
