"""The command line: one small module a command; parses, calls, reports; no codec logic."""
