# Sourced by the recipes: how a stage of training is run.
#
# Environment, all optional:
#   SCALE    factor of every stage's minutes; 1 is what the shipped weights had, on one CPU core
#   OPTIONS  arguments for every trainer, as in "--device cuda --data-on-device" or "--threads 2"
#   PYTHON   the interpreter in whose environment bsqcodec is installed

SCALE=${SCALE:-1}
OPTIONS=${OPTIONS:-}
PYTHON=${PYTHON:-python}

# minutes NUMBER: prints it times SCALE.
minutes() {
    awk -v minutes="$1" -v scale="$SCALE" 'BEGIN { printf "%g", minutes * scale }'
}

# command_of_training NAME ARGUMENT...: runs a command of `python -m bsqcodec.training`.
command_of_training() {
    echo "== $*" >&2
    "$PYTHON" -m bsqcodec.training "$@"
}

# stage NAME MINUTES TRAINER ARGUMENT...: a run of a trainer in $RUNS/NAME; at once if it is done.
stage() {
    local name=$1 time
    time=$(minutes "$2")
    shift 2
    # shellcheck disable=SC2086  # OPTIONS are several words
    command_of_training "$@" --out "$RUNS/$name" --minutes "$time" $OPTIONS
}
