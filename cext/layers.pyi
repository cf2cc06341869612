DROP_NAMES: tuple[tuple[str, str], ...]
LAYER_NAMES: tuple[str, ...]
