from typing_extensions import Buffer

SIZE: int

class Told:
    def __init__(self, buffer: Buffer | None = None) -> None: ...
