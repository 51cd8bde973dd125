#!/usr/bin/env bash
# Making a network on the meta device is the advised way to load weights without initialising them
# first: nothing is computed there. But some operations have no compiled kernel for that device and run
# as Python, and that imports the compiler: torch.arange imports sympy, stack and normal_ import
# torch._dynamo, with some eight hundred modules, for seconds. Others (empty, zeros, uniform_, and the
# layers of torch.nn whose initialisation needs only these) import nothing.
# One would expect operations that compute nothing to cost nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install -q torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys

EXPECTED = {
    "torch.empty(2, 2)": [],
    "torch.zeros(2, 2)": [],
    "torch.empty(2, 2).uniform_()": [],
    "torch.nn.Linear(2, 2)": [],
    "torch.nn.Conv2d(2, 2, 3)": [],
    "torch.arange(2)": ["sympy"],
    "torch.stack([torch.empty(2)] * 2)": ["torch._dynamo", "sympy"],
    "torch.empty(2, 2).normal_()": ["torch._dynamo", "sympy"],
    "torch.nn.init.trunc_normal_(torch.empty(2, 2))": [],
}
CODE = """
import sys, time, torch
before, began = len(sys.modules), time.perf_counter()
with torch.device("meta"):
    {operation}
print(len(sys.modules) - before, time.perf_counter() - began)
print(*[name for name in ("torch._dynamo", "sympy") if name in sys.modules])
print(torch.__version__)
"""
changed = False
for operation, expected in EXPECTED.items():
    command = [sys.executable, "-c", CODE.format(operation=operation)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    first, second, version = out.splitlines()
    count, seconds = first.split()
    found = second.split()
    print(f"torch {version}: {operation}: {count} modules, {float(seconds):.2f} s,", *found or ["no compiler"])
    changed |= found != expected
if changed:
    print(f"this has changed: {EXPECTED} were seen before")
    sys.exit(1)
PYTHON
