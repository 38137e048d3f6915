"""The one error that bad user input raises: what was expected, what came, what to do."""
from __future__ import annotations


class UserError(ValueError):
    """Input that the user can correct; commands print it as one line and exit with code 2.

    Args:
        expected: Description of a correct input.
        got: Description of the actual input, with its value.
        fix: Advice on what to do.
    """

    def __init__(self, expected: str, got: str, fix: str) -> None:
        self.expected, self.got, self.fix = expected, got, fix
        super().__init__(f'expected {expected}; got {got}; {fix}')

    def __reduce__(self):
        # The default would rebuild from the joined message and fail in worker processes.
        return type(self), (self.expected, self.got, self.fix)
