"""CloudMRI from Python: ``for record in sensor.replay("x.pcap", only={"http"}): ...``"""
from importlib.metadata import version

from sensor.engine import replay
from sensor.errors import CaptureError, FilterError, SensorError, TenantMapError, UnknownName, UsageError

__version__ = version("cloudmri")
__all__ = ["CaptureError", "FilterError", "SensorError", "TenantMapError", "UnknownName", "UsageError", "__version__",
           "replay"]
