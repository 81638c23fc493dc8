"""As much of Prometheus as the alerts need: told series, and whether a rule would fire. Its grammar is Prometheus' own; what
an expression means is written down here once more. `increase` is the sum of the steps that are seen, without the
extrapolation to the window's ends, so thresholds are tried well away from them."""

import re
from dataclasses import dataclass, field
from fractions import Fraction

import promql_parser as promql

# A series without a sample for so long is gone.
LOOKBACK_SECONDS = 300
EVALUATED_EVERY_SECONDS = 60

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text):
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([smhd])", text))


@dataclass
class Prometheus:
    """Samples by name and labels, the oldest first."""

    samples: dict = field(default_factory=dict)

    def tell(self, name, start, values, every=30, **labels):
        """One value each 30 seconds from `start` on; None is a scrape that found no such series."""
        found = self.samples.setdefault((name, frozenset(labels.items())), [])
        found += [(start + index * every, Fraction(value)) for index, value in enumerate(values) if value is not None]

    def fires(self, rule, at):
        """The labels of each alert that a rule raises at this time."""
        expression = promql.parse(rule["expr"])
        waits = seconds(rule.get("for", "0s"))
        lit = [set(self.value(expression, at - ago)) for ago in range(0, waits + 1, EVALUATED_EVERY_SECONDS)]
        return sorted(tuple(sorted(labels)) for labels in set.intersection(*lit))

    def value(self, node, at):
        """A vector: its value by labels, without the metric's name."""
        match node:
            case promql.ParenExpr():
                return self.value(node.expr, at)
            case promql.VectorSelector():
                return self.instant(node, at)
            case promql.Call() if node.func.name == "increase":
                return self.increase(node.args[0], at)
            case promql.Call() if node.func.name == "absent":
                return {} if self.value(node.args[0], at) else {frozenset(): Fraction(1)}
            case promql.AggregateExpr():
                return aggregate(str(node.op), node.modifier, self.value(node.expr, at))
            case promql.BinaryExpr():
                return self.binary(node, at)
        raise NotImplementedError(f"{type(node).__name__} in an alert")

    def chosen(self, selector):
        for (name, labels), samples in self.samples.items():
            if name == selector.name and all(fits(matcher, dict(labels)) for matcher in selector.matchers.matchers):
                yield labels, samples

    def instant(self, selector, at):
        at -= back(selector)
        found = {}
        for labels, samples in self.chosen(selector):
            recent = [value for time, value in samples if at - LOOKBACK_SECONDS < time <= at]
            if recent:
                found[labels] = recent[-1]
        return found

    def increase(self, matrix, at):
        at -= back(matrix.vector_selector)
        found = {}
        for labels, samples in self.chosen(matrix.vector_selector):
            within = [value for time, value in samples if at - matrix.range.total_seconds() < time <= at]
            if len(within) > 1:
                # A counter that went down began anew.
                found[labels] = sum(new - old if new >= old else new for old, new in zip(within, within[1:]))
        return found

    def binary(self, node, at):
        left = self.value(node.lhs, at)
        match str(node.op):
            case "or":
                return self.value(node.rhs, at) | left
            case "unless":
                right = self.value(node.rhs, at)
                return {labels: value for labels, value in left.items() if labels not in right}
            case operator:
                assert isinstance(node.rhs, promql.NumberLiteral), "alerts compare with numbers"
                limit = Fraction(node.rhs.val)
                holds = {">": limit.__lt__, ">=": limit.__le__, "<": limit.__gt__, "==": limit.__eq__}[operator]
                return {labels: value for labels, value in left.items() if holds(value)}


def back(selector):
    return selector.offset.total_seconds() if selector.offset else 0


def fits(matcher, labels):
    value = labels.get(matcher.name, "")
    match matcher.op:
        case promql.MatchOp.Equal:
            return value == matcher.value
        case promql.MatchOp.NotEqual:
            return value != matcher.value
    raise NotImplementedError(f"{matcher.op} in an alert")


def aggregate(operator, modifier, vector):
    of = {"sum": sum, "max": max, "min": min}[operator]
    groups = {}
    for labels, value in vector.items():
        kept = set(modifier.labels) if modifier else set()
        groups.setdefault(frozenset(pair for pair in labels if pair[0] in kept), []).append(value)
    return {labels: of(values) for labels, values in groups.items()}
