"""Many files in one go: which become which, by whom they are coded, and what is done already.

find -> plan -> resume -> pool or cluster -> publish: `find` walks the inputs, `plan` gives every
file its output, `resume` leaves out what the `journal` shows to be done, the worker processes of
`pool` (here) or `cluster` (elsewhere) run `work` for each file, and `job` ties it all together.
What a file is coded by stands in one table, `kinds`.
"""
