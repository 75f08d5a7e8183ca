"""What the exit status of every command says."""

DONE = 0
NOTHING_DONE = 1
"""With the reason on standard error: missing files, results that exist, all pairs failed."""
WRONG_USAGE = 2
"""Seen from the arguments alone, before any file was opened."""
INCOMPLETE = 3
"""Done, but some inputs failed, had no partner, or a check did not hold."""
INTERRUPTED = 130
TERMINATED = 143

TABLE = """\b
Exit status:
  0    done
  1    nothing done; the reason is on standard error
  2    wrong usage
  3    done, but some inputs failed, had no partner, or a check did not hold
  130  interrupted (Ctrl-C); 143 terminated
"""
