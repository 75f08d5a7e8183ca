"""The errors that the command line prints as one line, without a traceback."""


class UserError(ValueError):
    """Something the user can put right: a file, an option, a setting.

    The message is one line that names the file or option and says what to do. The command line prints it after
    ``error:`` and exits with status 1 (`UsageError`: 2); in Python it is an ordinary ``ValueError``.
    """


class UnreadableError(UserError):
    """A file that is missing, may not be read, is damaged, or is of a kind that cannot be read."""


class TooLargeError(UnreadableError):
    """A picture with more pixels than are read."""


class UnusableError(UserError):
    """A picture that was read, and cannot be used as it is: its size, its values, its number of channels."""


class UnwritableError(UserError):
    """A file that could not be written: the disk is full, the folder is missing, permission is lacking."""


class UsageError(UserError):
    """Arguments that contradict each other, whatever the files hold. The command line exits with status 2."""
