#!/usr/bin/env bash
# Sets everything up, then runs the linter, the type checker and the tests: scripts/test.sh [...]
# Arguments go to pytest, as in: scripts/test.sh tests/media -k exif
set -euo pipefail

cd "$(dirname "$0")/.."
. scripts/environment.sh
prepare_environment tests,benchmarks,rivals

.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/pytest "$@"
