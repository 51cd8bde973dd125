#!/usr/bin/env bash
# Sets everything up, then runs the linter, the type checker and the tests: scripts/test.sh [...]
# Arguments go to pytest, as in: scripts/test.sh tests/media -k exif
# Tests run in a process for each core, four at most; JOBS sets another number.
set -euo pipefail

cd "$(dirname "$0")/.."
. scripts/environment.sh
prepare_environment tests,benchmarks,rivals

.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
.venv/bin/pytest -n "${JOBS:-auto}" --maxprocesses 4 --dist worksteal --timeout 1800 "$@"
