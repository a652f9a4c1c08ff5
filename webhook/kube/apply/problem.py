"""What keeps a configuration or a patch from being applied."""

from __future__ import annotations


class CannotApply(ValueError):
    """A change that Kubernetes refuses to make, or that cannot be made here; ``str()`` says why, in one sentence.

    ``always`` is whether Kubernetes refuses the request for it whatever the policy's ``failurePolicy`` says.
    """

    def __init__(self, message: str, *, always: bool = False) -> None:
        super().__init__(message)
        self.always = always
