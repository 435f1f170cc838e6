"""The one exception that means: the user can mend this."""


class TinyDecoupleError(Exception):
    """A user's mistake, told in one line: where it is, what was found, what to do.

    The command line prints the line to stderr and exits with 2, without a traceback.
    """
