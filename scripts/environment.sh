# Sourced by the other scripts: makes .venv with what they need, and skips that when it is done.

# prepare_environment EXTRAS: installs this project with extras of setup.cfg, as in "tests,benchmarks".
prepare_environment() {
    local extras=$1 python stamp wanted
    export PIP_DISABLE_PIP_VERSION_CHECK=1
    if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "Creating .venv ..." >&2
        python=$(find_python) || return 1
        "$python" -m venv --clear .venv || {
            echo "Python's venv module is missing: on Debian or Ubuntu install python3-venv." >&2
            return 1
        }
    fi
    stamp=.venv/installed-$extras
    wanted=$(cat setup.cfg pyproject.toml constraints.txt scripts/environment.sh | cksum)
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        echo "Installing bsqcodec[$extras] into .venv; the first time this takes minutes ..." >&2
        .venv/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[$extras]"
        echo "$wanted" >"$stamp"
    fi
}

# find_python: prints the interpreter to use: $PYTHON, or the first that is 3.11 or newer.
find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.11 or newer is needed; set PYTHON to its path." >&2
    return 1
}
