class Intake:
    shares: int
    share: int
