"""Text becomes corpora: vocabularies, simplification, files, statistics."""
