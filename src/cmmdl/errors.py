"""The one exception that the command line prints without a traceback."""


class UserError(ValueError):
    """Something the user can put right: a file, an option, a setting.

    The message is one line that names the file or option and says what to do. The command line prints it after
    ``error:`` and exits with status 1; in Python it is an ordinary ``ValueError``.
    """
