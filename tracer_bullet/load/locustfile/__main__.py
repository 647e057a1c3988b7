"""Locust's own command line with the plug-in: its options keep their names and meanings."""

from __future__ import annotations

import sys

from tracer_bullet.errors import TracerBulletError
from tracer_bullet.load.locustfile import check_locust


def main() -> None:
    """Run Locust; exits with its code."""
    try:
        check_locust()
    except TracerBulletError as error:
        sys.exit(f"{error}")
    from locust.main import main as locust_main  # noqa: PLC0415  # it patches the standard library

    from tracer_bullet.load.locustfile.plugin import install  # noqa: PLC0415

    install()
    # argparse shows it in usage lines; `__main__.py` would say nothing.
    sys.argv[0] = "locust"
    locust_main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
