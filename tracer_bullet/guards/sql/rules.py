"""Which policy a SQL statement of a bullet falls under: that of its rule, else the service's."""

from __future__ import annotations

from dataclasses import dataclass

from tracer_bullet.context.scope import Scope
from tracer_bullet.guards.config import GuardConfig, Policy, Sink
from tracer_bullet.guards.policy import DECISIONS, find_rule, sql_action
from tracer_bullet.guards.rulings import owner, rule_on
from tracer_bullet.guards.sql.statements import Statement
from tracer_bullet.guards.testers import is_tester

_WRITTEN = ("INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "TRUNCATE", "COPY")


@dataclass(frozen=True, slots=True)
class SqlRuling:
    """What becomes of a statement. `decision` is empty for what is no write; `refuse` says why it must not run."""

    policy: Policy
    decision: str = ""
    refuse: str = ""

    def refused(self, why: str) -> SqlRuling:
        """The same, refused."""
        return SqlRuling(self.policy, DECISIONS[Policy.DENY], why)


def rule_sql(scope: Scope, statement: Statement, dialect: str, count: int = 1) -> SqlRuling:
    """Rule on a statement with `count` parameter sets; what a rule lets through is counted here.

    Every write in it must fall under the same policy: a rule for one table must not carry a write
    of another one through.
    """
    config = owner(scope).config
    if not sql_action(statement, Policy.DENY, dialect).decision:
        return SqlRuling(config.policy(Sink.SQL))
    if is_tester(scope):
        return SqlRuling(Policy.DENY).refused("a tester's account writes as a bullet only")
    policies = {policy_of(config, operation): operation for operation in statement.operations}
    if len(policies) > 1 and Policy.DENY not in policies:
        named = ", ".join(sorted(f"{operation}: {policy.value}" for policy, operation in policies.items()))
        return SqlRuling(Policy.DENY).refused(f"its parts fall under several policies ({named})")
    for operation in statement.operations:
        ruling = rule_on(scope, Sink.SQL, operation, count)
        if ruling.refuse:
            return SqlRuling(ruling.policy).refused(ruling.refuse)
    action = sql_action(statement, next(iter(policies)), dialect)
    return SqlRuling(next(iter(policies)), action.decision, action.refuse)


def policy_of(config: GuardConfig, operation: str) -> Policy:
    """The policy that an operation falls under; nothing is counted."""
    rule = find_rule(config, Sink.SQL, operation)
    return config.policy(Sink.SQL) if rule is None else Policy(rule.policy)


def may_shadow(config: GuardConfig, table: str) -> bool:
    """Whether a bullet's write to this table may go to its shadow, so that its reads must go there too."""
    return any(policy_of(config, f"{verb} {table}") is Policy.SHADOW for verb in _WRITTEN)


def has_shadows(config: GuardConfig) -> bool:
    """Whether any statement may be shadowed."""
    return config.policy(Sink.SQL) is Policy.SHADOW or any(
        rule.sink is Sink.SQL and rule.policy is Policy.SHADOW for rule in config.rules
    )


def has_rules(config: GuardConfig) -> bool:
    """Whether single operations fall under policies of their own."""
    return any(rule.sink is Sink.SQL for rule in config.rules)


def may_roll_back(config: GuardConfig) -> bool:
    """Whether any statement may be run and rolled back."""
    return config.policy(Sink.SQL) is Policy.ROLLBACK or any(
        rule.sink is Sink.SQL and rule.policy is Policy.ROLLBACK for rule in config.rules
    )
