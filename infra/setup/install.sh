#!/usr/bin/env bash
# Makes .venv from the locks; nothing is installed whose hash they do not have.
#   TORCH=cpu   torch's CPU build: from a folder of wheels that pip is configured with (find-links), else
#               from PyTorch's index
#   TORCH=cuda  torch as PyPI has it: with CUDA on Linux
# Unset: cpu if such a folder has the CPU build, else cuda.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/it" >&2; exit 1; }
stamp=.venv/installed
export VIRTUAL_ENV="$PWD/.venv"  # another one that is active stays as it is
# DVC keeps pickled indexes below /var/tmp, in folders of all users: whoever writes there runs code as whoever
# reads. Here they are in a folder that is closed to others.
close_dvc() {
  local place="$PWD/.dvc/tmp/site"
  mkdir -p .dvc/tmp "$place" && chmod 700 "$place"
  grep -qsF "site_cache_dir = $place" .dvc/config.local || .venv/bin/dvc config --local core.site_cache_dir "$place"
}
if [ -f $stamp ] && [ -z "$(find pyproject.toml requirements.lock infra/setup -newer $stamp -type f)" ]; then close_dvc; exit 0; fi
echo "installing the pinned dependencies into .venv"
[ -x .venv/bin/python ] || "$python" -m venv .venv
bootstrap=(.venv/bin/python -m pip install --disable-pip-version-check --require-hashes
  --only-binary :all: -r infra/setup/bootstrap.lock)
"${bootstrap[@]}" --quiet 2>/dev/null || "${bootstrap[@]}"
version=$(sed -nE 's/^torch==([^ ]+).*/\1/p' infra/setup/torch.cpu.lock)
tag=$(.venv/bin/python -c 'import sys; print("cp{}{}".format(*sys.version_info))')
shopt -s nullglob
links=() builds=()
for folder in $(.venv/bin/python -m pip config get global.find-links 2>/dev/null || true); do
  links+=(--find-links "$folder")
  builds+=("${folder#file://}/torch-$version-$tag-"*.whl)
done
torch=${TORCH:-$([ ${#builds[@]} -gt 0 ] && echo cpu || echo cuda)}
if [ "$torch" = cpu ] && [ ${#builds[@]} = 0 ]; then links+=(--torch-backend cpu); fi
# Bytecode is compiled once, here: otherwise each of a run's many processes compiles all its imports.
# One package has no wheel; what builds it, setuptools, is held to the lock's hash too.
.venv/bin/uv pip install --quiet --compile-bytecode --require-hashes \
  --only-binary :all: --no-binary antlr4-python3-runtime --build-constraints requirements.lock \
  "${links[@]}" -r requirements.lock -r "infra/setup/torch.$torch.lock" || {
  echo "If the hash of torch differs: infra/setup/torch.cpu.lock has those of PyTorch's own CPU builds." \
    "Is yours to be trusted? Then \`make lock\` adds the wheels of pip's find-links; else remove it." >&2
  exit 1
}
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation --editable .
close_dvc
touch $stamp
