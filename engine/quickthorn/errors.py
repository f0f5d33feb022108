"""The errors Quickthorn raises: one small tree, every message one sentence of what, where, found and expected."""

from __future__ import annotations


class QuickthornError(Exception):
    """The root of every error this package raises on purpose."""


class NativeModuleError(QuickthornError, ImportError):
    """The compiled module is missing or does not fit this package; the message says what to run."""


class SchemaError(QuickthornError):
    """An event class is declared wrongly."""


class EventError(QuickthornError, ValueError):
    """An event does not fit its schema: the message names the field, what was found and what was expected."""


class LabelError(QuickthornError, ValueError):
    """A label does not fit, or is for an event that is not remembered: nothing changed, and it may be told again."""


class RowError(QuickthornError, ValueError):
    """A feature vector, or a table of them, does not fit the forest it is given to."""


class FeatureError(QuickthornError):
    """A feature set is declared wrongly, or a kernel cannot be compiled ahead of time."""


class SignalError(QuickthornError, ValueError):
    """A third-party signal does not fit its source, or its source is not one of the bundle's."""


class ModelError(QuickthornError):
    """A trained model cannot be read, or holds something that cannot be honoured exactly."""


class CalibrationError(QuickthornError, ValueError):
    """A calibration cannot be fitted on this data, or is no rising curve of probabilities."""


class PolicyError(QuickthornError):
    """A policy file is malformed or contradicts itself."""


class ReasonError(QuickthornError, ValueError):
    """A reason map is malformed, or does not name every feature of the model exactly once."""


class ConditionError(PolicyError):
    """A condition breaks its grammar or does not fit; ``column`` is the character where, counted from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(message)
        self.column = column


class ToolchainError(QuickthornError):
    """No usable C++ compiler was found, or it refused the generated source."""


class ProjectError(QuickthornError):
    """A project file is malformed, or together with the command line does not say what to compile."""


class BundleError(QuickthornError):
    """A bundle file is truncated, altered, of another format, or does not do what its golden vectors say."""


class SigningError(QuickthornError):
    """A key cannot be used, or a bundle is not signed as the trust file demands."""


class BudgetError(QuickthornError):
    """A latency budget is malformed, or there is nothing to measure it with."""


class StoreError(QuickthornError):
    """A bundle store cannot be used, or what is in it is not what it should be."""


class GateError(QuickthornError):
    """A gates file is malformed, or a bundle cannot be judged by it."""


class StateError(QuickthornError, RuntimeError):
    """The engine's state region cannot be created or is full."""


class SimulationError(QuickthornError, ValueError):
    """A payment stream cannot be simulated, written or trained on with these arguments."""


class MissingExtraError(QuickthornError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package!r}; install it with: pip install 'quickthorn[{extra}]'")
        self.package = package
        self.extra = extra
