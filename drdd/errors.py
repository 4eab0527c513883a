"""The two kinds of failure a person is told about without a traceback."""


class UserError(Exception):
    """Something the user can put right: bad params, bad data, a taken port.

    The message says what was wrong, where, and what to do. Retrying without a change cannot help.
    """


class TransientError(Exception):
    """Something that may pass by itself, such as a store that is down; retrying can help."""
