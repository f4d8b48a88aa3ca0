"""The one exception that a user is meant to read."""


class InputError(Exception):
    """A configuration, file or value that the user can mend.

    The message is one line: it names the key, file or value at fault and says what to do.
    Scripts print it without a traceback and exit with 2.
    """
