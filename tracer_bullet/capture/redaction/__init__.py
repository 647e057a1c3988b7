"""Redaction before the disk, and the audit that it was done. docs/redaction.md says what is redacted, and how.

`Redactor(rules, pseudonyms).apply(exchange)`; `audit.find_secrets(exchange)`. Both fail closed. Stdlib only, since it
runs in services too; decoders for br and zstd are used where they are installed.
"""

from tracer_bullet.capture.redaction.pseudonyms import Pseudonyms
from tracer_bullet.capture.redaction.redactor import Redactor
from tracer_bullet.capture.redaction.rules import Action, Place, RedactionError, Rule, Rules

__all__ = ["Action", "Place", "Pseudonyms", "RedactionError", "Redactor", "Rule", "Rules"]
