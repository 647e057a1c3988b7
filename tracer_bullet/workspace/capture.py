"""`capture:` in tracer-bullet.yaml: what recorded traffic may hold, and what a session is. docs/redaction.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from tracer_bullet.workspace.load import Spec
from tracer_bullet.workspace.mistakes import Mistake, MistakesError
from tracer_bullet.workspace.quantities import Share, Size
from tracer_bullet.workspace.replay import Regex
from tracer_bullet.workspace.sending import Globs

_JSON_PATH: Final = re.compile(
    r"\$(?:\.\.?(?:\*|[\w$-]+)|(?:\.\.)?\[(?:\*|\d+|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\])+"
)
PLACES: Final = ("header", "cookie", "query", "form", "json", "path", "pattern", "content")


def _json_path(value: str) -> str:
    if _JSON_PATH.fullmatch(value) is None:
        raise ValueError("must be a JSONPath of names, indices and *, as $.user.card or $..token or $.items[*]['a b']")
    return value


class RedactSpec(Spec):
    """A rule: exactly one place, and what becomes of the values there. The first rule that fits counts."""

    header: str | None = Field(default=None, min_length=1)
    """Glob on a header's name."""
    cookie: str | None = Field(default=None, min_length=1)
    """Glob on a cookie's name, in Cookie and Set-Cookie."""
    query: str | None = Field(default=None, min_length=1)
    """Glob on a query parameter's name."""
    form: str | None = Field(default=None, min_length=1)
    """Glob on a form field's name, urlencoded or multipart."""
    json_path: Annotated[str, AfterValidator(_json_path)] | None = Field(default=None, alias="json")
    """JSONPath of names, indices and `*`, in requests and answers: `$.user.card`, `$..token`; all below it, too."""
    path: Regex | None = None
    """Regular expression on the path; its groups are the values, or all of it."""
    pattern: Regex | None = None
    """Regular expression on every text, also in base64 and the like; its first group is the value, or all of it."""
    content: str | None = Field(default=None, min_length=1)
    """Glob on a body's media type, as `image/*`: `keep` keeps such bodies without a look into them, else they go."""
    action: Literal["pseudonym", "remove", "mask", "keep"] = "pseudonym"
    paths: Globs = ()
    """Only for requests whose path fits one of these globs, and for their answers."""
    why: str = ""
    """Why; for people."""

    @property
    def place(self) -> tuple[str, str]:
        """The place and what to look for there."""
        return next(self._places())

    @model_validator(mode="after")
    def _one_place(self) -> RedactSpec:
        if len(list(self._places())) != 1:
            raise ValueError(f"a rule needs exactly one of {', '.join(PLACES)}")
        if self.action == "keep" and self.path is not None:
            raise MistakesError(
                [Mistake(path="action", message="a path cannot be kept: use `pattern` for what may stay")]
            )
        return self

    def _places(self) -> Iterator[tuple[str, str]]:
        for place in PLACES:
            value: str | None = getattr(self, "json_path" if place == "json" else place)
            if value is not None:
                yield place, value


SessionKey = Annotated[str, Field(pattern=r"^(?:client|(?:cookie|header|jwt|query):[^\s:]+)$")]


class CaptureSpec(Spec):
    """How traffic is recorded."""

    redact: tuple[RedactSpec, ...] = ()
    """Rules, before the defaults of docs/redaction.md."""
    emails: bool = False
    """E-mail addresses are redacted wherever they stand."""
    session: tuple[SessionKey, ...] = ()
    """What tells sessions apart, instead of all the usual places: headers, cookies (globs), query parameters,
    Authorization (`header:authorization`, or claims of its JWT), in this order. Without any, the client does."""
    key_file: Path = Path(".tracer-bullet/keys/capture.key")
    """File of the key of pseudonyms, made when it is not there; relative to the folder of tracer-bullet.yaml.
    TRACER_BULLET_CAPTURE_KEY holds the key itself, and comes first."""
    body_limit: Size = Field(default=1 << 20)
    """Longer bodies, decompressed, are not kept."""
    exclude_paths: Globs = ()
    """Globs on the path of requests that are not recorded."""
    sample: Share = 1.0
    """The share of sessions that is recorded, whole ones, always the same ones."""
