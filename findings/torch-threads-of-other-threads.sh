#!/usr/bin/env bash
# torch.set_num_threads is neither of the process nor of the thread that calls it. A thread that has set
# its own number loses it to one that another thread sets, as long as it has not looked at its number
# (or run a parallel operation) yet; once it has, no other thread changes it any more. And the number of
# a thread that starts later is the one that was set last, by whichever thread.
# One would expect a setting to hold where it was made, or everywhere.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install -q torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import queue
import sys
import threading

import torch

print("torch", torch.__version__)


class Worker:
    """A thread that runs what it is given."""

    def __init__(self):
        self.tasks, self.results = queue.Queue(), queue.Queue()
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        while True:
            self.results.put(self.tasks.get()())

    def __call__(self, task):
        self.tasks.put(task)
        return self.results.get()


def count():
    return torch.get_num_threads()


seen = {}
torch.set_num_threads(3)  # and does not look at it
first = Worker()
first(lambda: torch.set_num_threads(1))
seen["this thread, which had set 3, after another set 1"] = count()
torch.set_num_threads(3)
first(lambda: torch.set_num_threads(2))
seen["this thread, which has looked since, after another set 2"] = count()
seen["a new thread"] = Worker()(count)
torch.set_num_threads(4)
seen["the other thread, which had set 2 and not looked, after this one set 4"] = first(count)
torch.set_num_threads(5)
seen["the other thread, which has looked since, after this one set 5"] = first(count)
for what, number in seen.items():
    print(f"{what}: {number}")
expected = [1, 3, 2, 4, 4]
if list(seen.values()) != expected:
    print(f"this has changed: {expected} were seen before")
    sys.exit(1)
PYTHON
