"""The command `simplelm`."""
from .commands import main

__all__ = ["main"]
