"""The workspace a user writes: YAML files in, frozen specs out; and the layout of run folders.

Must not send anything, start anything or know a feature package. Posture: safety fails closed:
an unknown key, an unset variable or a value out of range is an error that names its line, and
every mistake of a file is told at once.
"""

from tracer_bullet.workspace.load import Document, Located, Mistake, MistakesError, Spec, load_document, load_located

__all__ = [
    "Document",
    "Located",
    "Mistake",
    "MistakesError",
    "Spec",
    "load_document",
    "load_located",
]
