"""CloudMRI from Python: ``for record in sensor.replay("x.pcap", only={"http"}): ...``"""
from typing import TYPE_CHECKING, Any

from sensor.errors import CaptureError, FilterError, SensorError, TenantMapError, UnknownName, UsageError

if TYPE_CHECKING:
    from sensor.engine import replay

__version__ = "0.1.0"
__all__ = ["CaptureError", "FilterError", "SensorError", "TenantMapError", "UnknownName", "UsageError", "__version__",
           "replay"]


def __getattr__(name: str) -> Any:
    """The engine is imported when it is asked for: most commands, and --help, do without."""
    if name == "replay":
        from sensor.engine import replay
        return replay
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
