"""How the hot loops work; no part of the public interface."""
