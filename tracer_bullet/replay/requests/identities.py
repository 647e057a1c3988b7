"""Whose requests they become: an account for each session, and what of it stands where. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from tracer_bullet.errors import UsageError
from tracer_bullet.model.exchange import Lack
from tracer_bullet.replay.reading.select import globs
from tracer_bullet.replay.requests.draft import Draft
from tracer_bullet.replay.requests.places import add, change, parse_place
from tracer_bullet.workspace.replay import BUILT_IN_FIELDS, Replay
from tracer_bullet.workspace.template import fill, references


class Identities:
    """`identities:`, compiled. `accounts` are those of the file and of the list; sessions take turns."""

    def __init__(self, spec: Replay, accounts: Sequence[Mapping[str, str]], run_id: str) -> None:
        self._accounts = accounts
        self._run = run_id
        self.by_user = spec.identities.by == "user"
        self._places = [(parse_place(p.at), p.value, globs(p.paths)) for p in spec.identities.places]
        _check(spec, accounts)

    def variables(self, number: int, session: int, clone: int) -> dict[str, str]:
        """What texts may hold for a session of the replay: the account's fields, `n`, `session`, `clone`, `run`.

        `number` chooses the account: of the session, or of the captured user.
        """
        known = {"n": str(number), "session": str(session), "clone": str(clone), "run": self._run}
        if self._accounts:
            account = self._accounts[number % len(self._accounts)]
            known |= {field: str(fill(text, known, str)) for field, text in account.items()}
        return known

    def apply(self, draft: Draft, variables: Mapping[str, str]) -> None:
        """Put the account into its places: where the recording has a value, and where it could not tell."""
        if not self._places:
            return
        path = draft.exchange.request.target.partition("?")[0]
        headers_unknown = Lack.REQUEST_HEADERS in draft.exchange.lacks
        for place, template, paths in self._places:
            if paths is not None and not paths.match(path):
                continue
            text = str(fill(template, variables))
            if not change(draft, place, partial(_instead, text)) and headers_unknown:
                add(draft, place, text)


def _instead(text: str, _old: str) -> str:
    return text


def _check(spec: Replay, accounts: Sequence[Mapping[str, str]]) -> None:
    """Every account has every field that a text asks for: found before anything is sent."""
    texts = [
        *[place.value for place in spec.identities.places],
        *spec.rewrite.set_headers.values(),
        *[rule.set for rule in spec.rewrite.json_fields],
    ]
    asked = {name for _, name in references(texts) if name and name not in BUILT_IN_FIELDS}
    for index, account in enumerate(accounts or [{}] if asked else ()):
        for name in sorted(asked - set(account)):
            raise UsageError(
                "TB971",
                f"account {index + 1} has no field {name!r}, which the replay file asks for",
                cure=f"its fields are {', '.join(sorted(account)) or 'none'}",
            )
