"""Secrets in text, whatever it is wrapped in: the text with pseudonyms in their places, in the same wrapping.

What is found in an encoded piece is replaced there, and encoded again; where that cannot be done faithfully, the whole
piece is replaced. Depth and size are bounded, and what is wrapped deeper still is replaced whole: it fails closed.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import unquote

from tracer_bullet.capture.redaction.jsons import edit
from tracer_bullet.capture.redaction.looking.detectors import Hit, find, find_cards
from tracer_bullet.capture.redaction.looking.embedded import json_spans
from tracer_bullet.capture.redaction.looking.encodings import LAYERS, Piece
from tracer_bullet.capture.redaction.looking.glance import may_hold_email, may_hold_secret
from tracer_bullet.capture.redaction.looking.names import Telling, holds_digits, what_name_says
from tracer_bullet.capture.redaction.looking.pairs import Pair, named_values
from tracer_bullet.capture.redaction.pseudonyms import Pseudonyms, begins_as_pseudonym, is_pseudonym
from tracer_bullet.capture.redaction.rules import Action, RuleSet

MASK: Final = "***"
MAX_DEPTH: Final = 8
_CACHED_LENGTH: Final = 256
_CACHE: Final = 16_384
# https://www.iana.org/assignments/http-authschemes, and what is widely used besides.
_SCHEMES: Final = (
    "basic bearer concealed digest dpop gnap hoba mutual negotiate ntlm oauth privatetoken scram-sha-1 scram-sha-256 "
    "vapid token apikey api-key jwt kerberos aws4-hmac-sha256 hmac signature splunk sso-key key genie-key mac"
)
SCHEMES: Final = frozenset(_SCHEMES.split())
_CREDENTIALS: Final = re.compile(r"([A-Za-z][A-Za-z0-9-]*)( +)(\S.*)", re.DOTALL)
_BASIC: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")


class Scrubber:
    """Redacts texts by one set of rules. Pure but for its caches."""

    __slots__ = ("_cache", "_levels", "glance", "pseudonyms", "rules")

    def __init__(self, rules: RuleSet, pseudonyms: Pseudonyms) -> None:
        self.rules = rules
        self.pseudonyms = pseudonyms
        self.glance: Callable[[str], bool] = (
            bool if rules.patterns else may_hold_email if rules.emails else may_hold_secret
        )
        """Whether a text needs a closer look at all: False, and cheap, for most."""
        self._cache: dict[str, str] = {}
        self._levels = tuple(_Level(self, depth) for depth in range(MAX_DEPTH + 2))

    def scrub(self, text: str, depth: int = 0, path: str = "") -> str:
        """The text without secrets; the same object when there are none."""
        if not self.glance(text):
            return text
        if len(text) > _CACHED_LENGTH or self.rules.has_json:
            return self._look(text, depth, path)
        known = self._cache.get(text)
        if known is None:
            known = self._look(text, depth, path)
            if len(self._cache) >= _CACHE:
                self._cache.clear()
            if depth < 2:  # deeper ones may have been cut short
                self._cache[text] = known
        return text if known == text else known

    def secret(self, text: str, action: Action) -> str | None:
        """What stands in a secret's place: None when it goes. Equal secrets have equal pseudonyms, however written.

        A known scheme before the secret stays (`Bearer`), and so does white space around it.
        """
        if action is Action.KEEP or not text:
            return text
        if action is Action.REMOVE:
            return None
        bare = text.strip()
        if not bare or is_pseudonym(bare):
            return text
        if action is Action.MASK:
            return MASK
        new = self._credentials(bare)
        return new if bare == text else text.replace(bare, new)

    def named(self, text: str, action: Action | None, *, digits: bool, depth: int = 0, path: str = "") -> str | None:
        """A text whose name has been judged: `RuleSet.names`."""
        if action is Action.KEEP:
            return text
        if action is None or (digits and not holds_digits(text)):
            return self.scrub(text, depth, path)
        return self.secret(text, action)

    def json(
        self,
        text: str,
        note: Callable[[str], None],
        depth: int = 0,
        path: str = "",
        forced: tuple[Action, bool] | None = None,
    ) -> str | None:
        """JSON text without secrets; None when it is no JSON. `note` is called with the paths of the changes.

        `forced`: what happens to all of it, and whether only to digits, by the name that it stands under.
        """
        if depth > MAX_DEPTH:
            return json.dumps(self.pseudonyms.plain(text))
        return edit(text, self._levels[depth], note, always=self.rules.has_json, path=path, forced=forced)

    def _credentials(self, text: str) -> str:
        found = _CREDENTIALS.fullmatch(text)
        if found is None or found[1].lower() not in SCHEMES:
            return self._pseudonym(text)
        scheme, space, rest = found.groups()
        if is_pseudonym(rest):
            return text
        if scheme.lower() == "basic" and _BASIC.fullmatch(rest):
            try:
                user, colon, password = base64.b64decode(rest, validate=True).decode("utf-8").partition(":")
            except ValueError:
                return f"{scheme}{space}{self._pseudonym(rest)}"
            both = f"{self.pseudonyms.of(user)}{colon}{self.pseudonyms.of(password)}"
            return f"{scheme}{space}{base64.b64encode(both.encode('utf-8', 'surrogatepass')).decode()}"
        return f"{scheme}{space}{self._pseudonym(rest)}"

    def _pseudonym(self, text: str) -> str:
        if len(text) > 2 and text[0] == text[-1] == '"':
            return f'"{self.pseudonyms.of(text[1:-1])}"'
        return self.pseudonyms.of(unquote(text) if "%" in text else text)

    def _look(self, text: str, depth: int, path: str) -> str:
        head = text.lstrip()[:1]
        if head in ("{", "[", '"'):
            new = self.json(text, _ignore, depth + 1, path)
            if new is not None:
                return new
        if "{" not in text and "[" not in text:
            return self._plain(text, depth)
        out: list[str] = []
        done = 0
        for start, end, name in json_spans(text):
            told = what_name_says(name) if name else Telling.NOTHING
            forced = None if told is Telling.NOTHING else (Action.PSEUDONYM, told is Telling.NUMBER)
            new = self.json(text[start:end], _ignore, depth + 1, forced=forced)
            if new is not None:
                out += (self._plain(text[done:start], depth), new)
                done = end
        out.append(self._plain(text[done:], depth))
        return "".join(out)

    def _plain(self, text: str, depth: int) -> str:
        for pattern, action in self.rules.patterns:
            if action is not Action.KEEP:
                text = self._pattern(text, pattern, action)
        text = self._hits(text)
        text = self._pairs(text)
        for layer in LAYERS:
            text = self._layer(text, layer(text), depth)
        return text

    def _pattern(self, text: str, pattern: re.Pattern[str], action: Action) -> str:
        def replaced(match: re.Match[str]) -> str:
            group = 1 if pattern.groups and match[1] is not None else 0
            start, end = match.start(group) - match.start(), match.end(group) - match.start()
            return match[0][:start] + (self.secret(match[group], action) or "") + match[0][end:]

        return pattern.sub(replaced, text)

    def _hits(self, text: str) -> str:
        hits = [hit for hit in find(text, emails=self.rules.emails) if not self._is_kept(text[hit.start : hit.end])]
        return self._spliced(text, hits) if hits else text

    def _is_kept(self, text: str) -> bool:
        return is_pseudonym(text) or any(
            action is Action.KEEP and pattern.fullmatch(text) for pattern, action in self.rules.patterns
        )

    def _spliced(self, text: str, hits: Iterable[Hit]) -> str:
        out: list[str] = []
        done = 0
        for hit in sorted(hits, key=lambda hit: (hit.start, -hit.end)):
            if hit.start < done:  # inside of one that was replaced
                continue
            found = text[hit.start : hit.end]
            if hit.kind == "url-password":
                user, _, password = found.partition(":")
                new = f"{self.pseudonyms.of(unquote(user))}:{self.pseudonyms.of(unquote(password))}"
            elif hit.kind == "credentials" and text[: hit.start].rstrip(" +").lower().endswith("basic"):
                new = self._credentials(f"Basic {found}").removeprefix("Basic ")
            else:
                new = self.pseudonyms.of(found)
            out += (text[done : hit.start], new)
            done = hit.end
        out.append(text[done:])
        return "".join(out)

    def _pairs(self, text: str) -> str:
        out: list[str] = []
        done = 0
        for pair in named_values(text):
            if pair.start < done or not self._tells(pair):
                continue
            value = text[pair.start : pair.end]
            new = (
                value
                if self._is_kept(value) or begins_as_pseudonym(value)
                else self.secret(value, Action.PSEUDONYM) or ""
            )
            out += (text[done : pair.start], new)
            done = pair.end
        out.append(text[done:])
        return "".join(out) if done else text

    def _tells(self, pair: Pair) -> bool:
        told = what_name_says(pair.name, signing=pair.signing)
        if told is Telling.NUMBER:
            return holds_digits(pair.value)
        return told is Telling.SECRET and pair.could_be_secret

    def _layer(self, text: str, pieces: Iterable[Piece], depth: int) -> str:
        out: list[str] = []
        done = 0
        for piece in pieces:
            new = self._piece(text[piece.start : piece.end], piece, depth)
            if new is not None:
                out += (text[done : piece.start], new)
                done = piece.end
        out.append(text[done:])
        return "".join(out) if done else text

    def _piece(self, raw: str, piece: Piece, depth: int) -> str | None:
        """What stands in an encoded piece's place; None when it can stay."""
        if piece.content == raw or is_pseudonym(raw):
            return None
        if depth >= MAX_DEPTH:
            return self.pseudonyms.plain(raw)
        new = self.scrub(piece.content, depth + 1)
        if new == piece.content:
            return None
        return self.pseudonyms.plain(raw) if piece.encode is None else piece.encode(new)


class _Level:
    """What JSON text asks of the rules, at one depth of wrapping (`jsons.Verdict`)."""

    __slots__ = ("_depth", "_scrubber", "_told", "glance")

    def __init__(self, scrubber: Scrubber, depth: int) -> None:
        self._scrubber = scrubber
        self._depth = depth
        self._told: dict[str, bool] = {}
        self.glance = scrubber.glance

    def told(self, name: str) -> bool:
        known = self._told.get(name)
        if known is None:
            known = what_name_says(name) is not Telling.NOTHING or not self.clean(name)
            if len(self._told) < _CACHE and len(name) <= _CACHED_LENGTH:
                self._told[name] = known
        return known

    def clean(self, text: str) -> bool:
        return self._scrubber.scrub(text, self._depth) is text

    def clean_number(self, text: str) -> bool:
        return not any(True for _ in find_cards(text))

    def member(self, name: str, parent: str, path: str) -> tuple[Action | None, bool]:
        action = self._scrubber.rules.json_action(path)
        if action is not None:
            return action, False
        told = what_name_says(name, parent=parent) if name else Telling.NOTHING
        return (None, False) if told is Telling.NOTHING else (Action.PSEUDONYM, told is Telling.NUMBER)

    def new_text(self, text: str, action: Action | None, *, digits: bool, path: str) -> str | None:
        return self._scrubber.named(text, action, digits=digits, depth=self._depth, path=path)

    def new_number(self, text: str, action: Action | None, name: str) -> str:
        if action is Action.KEEP:
            return text
        if action is Action.REMOVE:
            return "null"
        if action is Action.MASK:
            return "0"
        bare = text.removeprefix("-")
        if not bare.isdigit():
            return text
        # A plural with a number counts: `tokens: 1532`.
        named = action is not None and len(bare) >= 3 and not name.lower().endswith("s")
        if (named and not is_pseudonym(bare)) or not self.clean_number(text):
            return self._scrubber.pseudonyms.digits(text)
        return text


def _ignore(path: str) -> None:
    del path
