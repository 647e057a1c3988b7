"""The page that is looked at while a load run lasts: one file, fed by Server-Sent Events of its own origin."""

from __future__ import annotations

from markupsafe import Markup

from tracer_bullet.report.offline import asset, page_environment, policy


def render_live() -> tuple[str, str]:
    """The page as HTML5 text, and its Content Security Policy, which is in it too."""
    style, script = asset("page.css") + asset("live.css"), asset("live.js")
    security = f"{policy([style], [script])}; connect-src 'self'"
    page = (
        page_environment()
        .get_template("live.html.j2")
        .render(style=Markup(style), script=Markup(script), policy=security)  # noqa: S704 - our own files, hashed
    )
    return page, security
