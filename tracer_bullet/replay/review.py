"""What a person should look at before a recording is sent again: a sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tracer_bullet.replay.correlation.patterns import rule_texts, used_texts
from tracer_bullet.replay.found import Survey
from tracer_bullet.replay.reading.refusals import BODY_CUT, MALFORMED, WRITE_WITHOUT_BODY
from tracer_bullet.replay.timing.stamps import SECOND_NS
from tracer_bullet.workspace.replay import Replay

_MOST_CONSTANTS: Final = 10


def review(survey: Survey, spec: Replay) -> tuple[str, ...]:
    """The sentences, the gravest first."""
    return (
        *_nothing(survey),
        *_refused(survey),
        *_credentials(survey, spec),
        *_hosts(survey, spec),
        *_times(survey),
        *_correlations(survey, spec),
        *_arming(survey, spec),
    )


def _nothing(survey: Survey) -> Iterator[str]:
    if not survey.to_send:
        yield f"nothing is to be sent: of {survey.read} exchanges read, none is selected and may be sent"


def _refused(survey: Survey) -> Iterator[str]:
    for reason, text in (
        (WRITE_WITHOUT_BODY, "write requests are refused, since their source did not record bodies"),
        (BODY_CUT, "requests are refused, since their bodies were cut when they were recorded"),
        (MALFORMED, "requests are refused, since they could not be written as HTTP"),
    ):
        if count := survey.refused.get(reason):
            yield f"{count} {text}"


def _credentials(survey: Survey, spec: Replay) -> Iterator[str]:
    for place, count in sorted(survey.patterns.unminted.items()):
        yield (
            f"{place} was redacted, and in {count} of the requests looked at no earlier answer minted it: "
            "it will be refused by the services; give it under `identities.places`"
        )
    if survey.patterns.signed:
        yield (
            f"{survey.patterns.signed} of the requests looked at are signed (AWS, HMAC, Digest …): services that check "
            "signatures will refuse them"
        )
    if spec.timing.clones > 1 and not spec.identities.places:
        yield "sessions are cloned without `identities`: the clones are the same users, at once"


def _hosts(survey: Survey, spec: Replay) -> Iterator[str]:
    if len(survey.hosts) > 1 and not spec.select.hosts and not spec.rewrite.hosts:
        most = sorted(survey.hosts, key=lambda host: -survey.hosts[host])[:5]
        yield (
            f"requests of {len(survey.hosts)} hosts all go to the one target ({', '.join(most)}"
            f"{', …' if len(survey.hosts) > len(most) else ''}); `select.hosts` or `rewrite.hosts` tells them apart"
        )


def _times(survey: Survey) -> Iterator[str]:
    stamps = survey.stamps
    if stamps.spread:
        yield f"{stamps.spread} times have whole seconds only; where they stand within their second is invented"
    if stamps.ends:
        yield f"of {stamps.ends} exchanges only the end is known, and taken for their start"
    if stamps.disordered:
        yield f"{stamps.disordered} exchanges stand behind later ones, and are sent with those"
    if survey.pauses:
        yield f"{survey.pauses} pauses are cut, {survey.pauses_ns / SECOND_NS:.0f} s in all"


def _correlations(survey: Survey, spec: Replay) -> Iterator[str]:
    found = survey.patterns
    if found.watched < survey.sessions and spec.correlate.find and found.watched:
        yield f"correlated values were looked for in {found.watched} of {survey.sessions} sessions"
    if found.long_bodies:
        yield f"{found.long_bodies} answers were too long to look for correlated values in"
    names = [count.text for count in survey.endpoints]
    for rule in spec.correlate.rules:
        if not rule_texts(rule, names):
            yield f"the rule {rule.name!r} fits no endpoint: nothing of the recording is a {rule.minted_by}"
    constants = [p for p in found.constants if any(place.startswith("path") for _, place in p.uses)]
    for pattern in constants[:_MOST_CONSTANTS]:
        uses = ", ".join(used_texts(pattern, names)[:3])
        yield (
            f"{names[pattern.endpoint]} {pattern.where} is repeated by {uses}, but looks like a constant: "
            "it is sent as recorded, unless `correlate.rules` names it"
        )


def _arming(survey: Survey, spec: Replay) -> Iterator[str]:
    if survey.arming_requests > spec.proof.max_arming_requests:
        yield (
            f"it takes {survey.arming_requests} requests to reach every endpoint once, more than "
            f"`proof.max_arming_requests` ({spec.proof.max_arming_requests})"
        )
