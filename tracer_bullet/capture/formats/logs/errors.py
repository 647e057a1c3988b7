"""What may be wrong with what the user says of a log. Raised before anything is read (docs/errors.md)."""

from __future__ import annotations

from tracer_bullet.errors import UsageError


def time_unknown(what: str) -> UsageError:
    """TB914: the log's time may be a start or an end, and nothing says which."""
    return UsageError(
        "TB914",
        f"{what}: is the time in it when a request came, or when its answer was sent?",
        why="nginx writes the end, Apache the start; a wrong guess lets a POST overtake its login",
        cure="--format nginx or --format apache, or --log-time end or --log-time start",
    )


def format_unclear(log_format: str, why: str) -> UsageError:
    """TB915: a log format that cannot be understood."""
    return UsageError(
        "TB915",
        f"the log format cannot be understood: {log_format[:200]}",
        why=why,
        cure="--log-format as the server's configuration has it: nginx's log_format, Apache's LogFormat, or Envoy's",
    )


def contradiction(log_format: str, proves: str) -> UsageError:
    """TB916: `log_time` says something else than the format."""
    return UsageError(
        "TB916",
        f"the time in this log is the {proves} of a request",
        why=f"{log_format[:200]} proves it, and --log-time says otherwise",
        cure="leave out --log-time",
    )
