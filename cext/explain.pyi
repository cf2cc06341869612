from typing import Any

from cext.pcap import Capture
from cext.worker import Worker

def explain(worker: Worker, capture: Capture) -> dict[str, Any] | None: ...
