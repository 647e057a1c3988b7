"""What our offline pages share: templates, their own style and scripts, and the policy that lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined


@cache
def page_environment() -> Environment:
    """Templates, escaping foreign text; a name that is not given is an error."""
    return Environment(
        loader=PackageLoader("tracer_bullet.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def asset(name: str) -> str:
    """The text of a file in report/static."""
    return files("tracer_bullet.report").joinpath("static", name).read_text(encoding="utf-8")


def dagre() -> str:
    """The layout library behind its licence, without the pointer to its source map (a file we do not ship)."""
    code = asset("vendor/dagre.min.js").partition("\n//# sourceMappingURL")[0]
    return f"/*! @dagrejs/dagre\n{asset('vendor/LICENSE.dagre')}*/\n{code}\n"


def policy(styles: list[str], scripts: list[str]) -> str:
    """A Content Security Policy (CSP Level 3, section 2.3.1) that allows these inline texts and nothing else."""

    def sources(texts: list[str]) -> str:
        return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(t.encode()).digest()).decode()}'" for t in texts)

    return (
        f"default-src 'none'; script-src {sources(scripts)}; style-src {sources(styles)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
