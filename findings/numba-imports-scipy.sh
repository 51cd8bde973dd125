#!/usr/bin/env bash
# The first call of any function that numba compiles, or loads from its cache, imports scipy.linalg where
# scipy is installed, although nothing in the function is linear algebra: numba looks for BLAS when it
# makes its table of functions ready. Before that, `import numba` alone leaves scipy out, and where scipy
# is not installed the same function does without.
# One would expect a loop over an array to need NumPy at most.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
cat > "$folder/loop.py" <<'PYTHON'
import sys
import time

import numba
import numpy as np

print("numba", numba.__version__, "after import:", "scipy.linalg" in sys.modules)


@numba.njit(cache=True)
def total(values):
    result = 0.0
    for value in values:
        result += value
    return result


began = time.perf_counter()
assert total(np.ones(3)) == 3
print(
    f"first call {time.perf_counter() - began:.2f} s, from the cache: {bool(total.stats.cache_hits)},"
    f" scipy.linalg imported: {'scipy.linalg' in sys.modules}"
)
PYTHON
pip=("$folder/venv/bin/pip" --disable-pip-version-check install -q)
"${pip[@]}" numba==0.68.1 numpy==2.4.6
without=$("$folder/venv/bin/python" "$folder/loop.py" && "$folder/venv/bin/python" "$folder/loop.py")
"${pip[@]}" scipy==1.17.1
with=$("$folder/venv/bin/python" "$folder/loop.py")
printf 'without scipy:\n%s\nwith scipy:\n%s\n' "$without" "$with"
[[ $without == *"from the cache: True, scipy.linalg imported: False" ]] &&
    [[ $with == *"after import: False"*"from the cache: True, scipy.linalg imported: True" ]] || {
    echo "this has changed"
    exit 1
}
