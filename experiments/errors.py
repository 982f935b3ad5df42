"""The error that a user's input causes: shown as one line, exit status 2."""


class UserError(Exception):
    """One line that names the argument, its value and what is allowed."""
