#!/usr/bin/env bash
# torch 2.13.0: FlopCounterMode makes torch.autograd.grad fail where the input of a module is a leaf.
#
# A gradient penalty (R1 of GANs, WGAN-GP) asks for the gradient of a network's output by its input.
# Outside of the counter that works. Inside, the hooks of its module tracker raise RuntimeError, though
# .backward() of the same output works there, and so does the same gradient once the module gets a copy
# of the leaf (x.clone()) in place of the leaf itself.
# Output seen:
#   outside: (2, 4)
#   inside: RuntimeError
#   inside, by backward: (2, 4)
#   inside, of a copy: (2, 4)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON' | tee "$folder/seen"
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

network = nn.Linear(4, 1)


def leaf():
    return torch.ones(2, 4, requires_grad=True)


def report(case, action, counted):
    x = leaf()
    try:
        if counted:
            with FlopCounterMode(display=False):
                found = action(x)
        else:
            found = action(x)
        print(f"{case}: {tuple(found.shape)}")
    except RuntimeError:
        print(f"{case}: RuntimeError")


def by_grad(x):
    return torch.autograd.grad(network(x).sum(), x)[0]


def by_backward(x):
    network(x).sum().backward()
    return x.grad


def of_copy(x):
    return torch.autograd.grad(network(x.clone()).sum(), x)[0]


report("outside", by_grad, False)
report("inside", by_grad, True)
report("inside, by backward", by_backward, True)
report("inside, of a copy", of_copy, True)
PYTHON
diff "$folder/seen" - <<'EXPECTED' || { echo "the behaviour has changed" >&2; exit 1; }
outside: (2, 4)
inside: RuntimeError
inside, by backward: (2, 4)
inside, of a copy: (2, 4)
EXPECTED
