"""Errors that a user can mend. The CLI prints their one sentence and exits with code 2."""


class SparseDeviceError(Exception):
    """Something the caller can mend: the message says what is wrong, where, and what to do."""


class DataError(SparseDeviceError):
    """An interaction log that cannot be read or split as asked."""


class ConfigError(SparseDeviceError):
    """A setting outside its range, or two settings that exclude each other."""


class RunError(SparseDeviceError):
    """A run folder that is missing, incomplete or made by another version."""


class BundleError(SparseDeviceError):
    """A bundle folder that is missing, incomplete or does not match its manifest."""


class UnknownIdError(SparseDeviceError):
    """A user or item id that the model does not know, where one is required."""


class PackedFileError(SparseDeviceError):
    """A packed file that breaks one of the promises numbered in docs/format.md.

    Attributes:
        promise: the name of the broken promise, for example ``"magic"`` or ``"checksum"``.
    """

    def __init__(self, promise: str, message: str) -> None:
        super().__init__(f"{message} [promise: {promise}]")
        self.promise = promise


class TargetError(SparseDeviceError):
    """A machine to measure on that cannot be reached, lacks something, or was lost in the middle."""


class MissingExtraError(SparseDeviceError, ImportError):
    """A package of an optional extra is not installed."""
