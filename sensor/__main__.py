"""``python -m sensor`` is ``cloudmri``."""
from sensor.cli import main

main()
