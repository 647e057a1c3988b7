"""The conformance kit: what a service, in any language, honours of the wire protocol. docs/conformance.md specifies it.

It knows the service by its answers alone: one tiny endpoint, and the calls that the service makes to the kit.
"""

from tracer_bullet.conformance.checks import CHECKS
from tracer_bullet.conformance.report import Level, Outcome, Report, Result
from tracer_bullet.conformance.run import ServiceUnderTest, check_service

__all__ = ["CHECKS", "Level", "Outcome", "Report", "Result", "ServiceUnderTest", "check_service"]
