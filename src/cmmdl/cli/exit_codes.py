"""What the exit status of every command says; told to users in docs/exit-codes.md."""

DONE = 0
NOTHING_DONE = 1
"""With the reason on standard error: a missing file, results that exist, no pair that could be fused, a full disk."""
WRONG_USAGE = 2
"""Seen from the arguments alone, before any file was opened."""
INCOMPLETE = 3
"""Done, but some inputs failed, had no partner, or a check did not hold."""
INTERRUPTED = 130
TERMINATED = 143

SUMMARY = "Exit status: 0 done, 1 nothing done, 2 wrong usage, 3 done in part or a check failed; see `cmmdl --help`."
"""At the end of each command's help."""

TABLE = """\b
Exit status:
  0    done
  1    nothing done, or given up; the reason is on standard error
  2    wrong usage
  3    done, but some inputs failed, had no partner, or a check did not hold
  130  interrupted (Ctrl-C); 143 terminated
"""
