"""What an iteration's number decides: its scenario, its row, its pauses, whether its answers are kept. Pure."""

from tracer_bullet.load.choice.chance import chance, word
from tracer_bullet.load.choice.mix import Mix
from tracer_bullet.load.choice.pauses import Pause
from tracer_bullet.load.choice.rows import Feed, Row

__all__ = ["Feed", "Mix", "Pause", "Row", "chance", "word"]
