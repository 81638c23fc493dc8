"""Alerts fire when they should, and not otherwise: stories told in samples."""

import unittest

from chart import over, render, scenarios
from prometheus import Prometheus

HOUR = 3600
DAY = 24 * HOUR
NOW = 10 * DAY


class Alerts(unittest.TestCase):
    def setUp(self):
        rendering = render(over(scenarios()["embedded"], {"metrics": {"prometheusRule": {"enabled": True}}}))
        [group] = rendering.one("PrometheusRule")["spec"]["groups"]
        self.rules = {rule["alert"]: rule for rule in group["rules"]}
        self.prometheus = Prometheus()

    def tell(self, name, values, until=NOW, pod="a", **labels):
        """Samples each 30 seconds, the last one at `until`, as the ServiceMonitor has them labelled."""
        labels = {"namespace": "shop", "job": "pay-upistream-admin", "pod": pod} | labels
        self.prometheus.tell(name, until - 30 * (len(values) - 1), values, **labels)

    def fires(self, alert, at=NOW):
        return self.prometheus.fires(self.rules[alert], at)

    def assert_fires(self, alert, at=NOW, **labels):
        self.assertEqual(self.fires(alert, at), [tuple(sorted(labels.items()))])

    def assert_quiet(self, alert, at=NOW):
        self.assertEqual(self.fires(alert, at), [])

    def test_the_first_contradiction_ever_is_seen(self):
        # There is no series before it: nothing rose from anything.
        self.tell("upistream_contradictions_total", [None] * 40 + [1] * 4, account="shop", fact="paid")
        self.assert_fires("UpistreamContradiction", account="shop", fact="paid")
        plain = {"expr": "sum by (account, fact) (increase(upistream_contradictions_total[15m])) > 0"}
        self.assertEqual(self.prometheus.fires(plain, NOW), [], "what everybody writes would miss it")

    def test_a_further_contradiction_is_seen(self):
        self.tell("upistream_contradictions_total", [3] * 100 + [4] * 4, account="shop", fact="paid")
        self.assert_fires("UpistreamContradiction", account="shop", fact="paid")

    def test_contradictions_of_long_ago_are_not_told_again(self):
        self.tell("upistream_contradictions_total", [4] * 200, account="shop", fact="paid")
        self.assert_quiet("UpistreamContradiction")

    def test_a_contradiction_that_a_replica_saw_after_its_restart_is_seen(self):
        self.tell("upistream_contradictions_total", [7] * 100 + [None] * 10 + [1] * 4, account="shop", fact="paid")
        self.assert_fires("UpistreamContradiction", account="shop", fact="paid")

    def test_another_release_has_its_own_alerts(self):
        self.tell("upistream_contradictions_total", [1, 2], account="shop", fact="paid", namespace="elsewhere")
        self.tell("upistream_contradictions_total", [1, 2], account="shop", fact="paid", job="other-upistream-admin")
        self.assert_quiet("UpistreamContradiction")

    def test_doubt_gets_old(self):
        self.tell("upistream_doubt_oldest_seconds", range(1000, 1000 + 30 * 40, 30), account="shop")
        self.assert_fires("UpistreamOutcomeUnknown", account="shop")

    def test_doubt_that_is_young_or_was_resolved_is_none(self):
        self.tell("upistream_doubt_oldest_seconds", range(0, 30 * 40, 30), account="shop")
        self.tell("upistream_doubt_oldest_seconds", [4000] * 40 + [0], account="till")
        self.assert_quiet("UpistreamOutcomeUnknown")

    def test_one_replica_that_lost_the_store_is_named(self):
        self.tell("upistream_store_up", [1] * 10, pod="a")
        self.tell("upistream_store_up", [1] * 6 + [0] * 4, pod="b")
        self.assert_fires("UpistreamStoreDown", pod="b")

    def test_a_store_that_was_away_for_a_moment_is_no_alert(self):
        self.tell("upistream_store_up", [1] * 6 + [0] + [1] * 3)
        self.assert_quiet("UpistreamStoreDown")

    def test_silence_is_an_alert_of_its_own(self):
        self.tell("upistream_store_up", [1] * 10, until=NOW - 20 * 60)
        self.tell("upistream_store_up", [1] * 10, namespace="elsewhere")
        self.assert_quiet("UpistreamStoreDown")
        self.assert_fires("UpistreamSilent")

    def test_one_replica_that_is_left_is_no_silence(self):
        self.tell("upistream_store_up", [0] * 30, pod="b")
        self.assert_quiet("UpistreamSilent")

    def test_memory_is_told_before_it_is_full(self):
        self.tell("upistream_store_memory_percent", [76] * 30)
        self.assert_fires("UpistreamStoreMemoryHigh")

    def test_memory_that_is_used_as_planned_is_none(self):
        self.tell("upistream_store_memory_percent", [75] * 30)
        self.assert_quiet("UpistreamStoreMemoryHigh")

    def test_a_refused_callback_is_seen_and_strangers_are_not(self):
        self.tell("upistream_webhooks_refused_total", [None] * 10 + [1] * 4, account="shop", reason="bad_signature")
        self.tell("upistream_webhooks_refused_total", list(range(100)), account="unknown", reason="no_such_account")
        self.assert_fires("UpistreamWebhooksRefused", account="shop", reason="bad_signature")

    def webhooks(self, yesterday, today, new_replica=False):
        """A counter over six hours of the day before, the hours between, and the same six hours of today."""
        hours_6, hours_18 = 2 * 60 * 6, 2 * 60 * 18
        labels = {"account": "shop", "result": "learned"}
        old = steps(yesterday, hours_6)
        if today is None or new_replica:
            self.tell("upistream_webhooks_total", old, until=NOW - DAY, **labels)
        else:
            self.tell("upistream_webhooks_total", old + [yesterday] * hours_18 + steps(today, hours_6, start=yesterday), **labels)
        if new_replica:
            self.tell("upistream_webhooks_total", [today] * 10, pod="b", **labels)

    def test_callbacks_that_stop_are_missed(self):
        self.webhooks(yesterday=40, today=0)
        self.assert_fires("UpistreamNoWebhooks", account="shop")

    def test_they_are_missed_too_when_no_replica_of_yesterday_is_left(self):
        self.webhooks(yesterday=40, today=None)
        self.assert_fires("UpistreamNoWebhooks", account="shop")

    def test_one_callback_is_enough(self):
        self.webhooks(yesterday=40, today=1)
        self.assert_quiet("UpistreamNoWebhooks")

    def test_one_that_a_new_replica_got_is_enough(self):
        self.webhooks(yesterday=40, today=1, new_replica=True)
        self.assert_quiet("UpistreamNoWebhooks")

    def test_hours_that_were_as_quiet_the_day_before_are_no_alert(self):
        self.webhooks(yesterday=2, today=0)
        self.assert_quiet("UpistreamNoWebhooks")

    def test_what_lies_in_quarantine_is_told_once_by_account(self):
        for pod in "ab":
            self.tell("upistream_quarantined", [2] * 70, pod=pod, account="shop")
        self.tell("upistream_quarantined", [0] * 70, account="till")
        self.tell("upistream_quarantined", [0] * 60 + [3] * 10, account="kiosk")
        self.assert_fires("UpistreamQuarantined", account="shop")

    def test_a_breaker_that_stays_open_is_told(self):
        self.tell("upistream_provider_breaker_open", [0] * 10 + [1] * 12, account="shop")
        self.tell("upistream_provider_breaker_open", [1] * 10 + [0] * 12, account="till")
        self.assert_fires("UpistreamBreakerOpen", account="shop")

    def test_a_subscriber_that_does_not_catch_up_is_told_by_its_name(self):
        self.tell("upistream_subscriber_lag_events", [1500] * 25, subscriber="ledger")
        self.tell("upistream_subscriber_lag_events", [9000] * 10 + [10] * 15, subscriber="dashboard")
        self.assert_fires("UpistreamSubscriberLags", subscriber="ledger")

    def test_books_that_differ_are_told_after_a_day(self):
        self.tell("upistream_settlement_breaks_open", [1] * (2 * 60 * 25), account="shop")
        self.tell("upistream_settlement_breaks_open", [1] * (2 * 60 * 20), account="till")
        self.assert_fires("UpistreamSettlementBreaks", account="shop")

    def test_each_alert_has_a_story(self):
        stories = [getattr(type(self), name) for name in dir(self) if name.startswith("test_")]
        told = {constant for story in stories for constant in story.__code__.co_consts if isinstance(constant, str)}
        self.assertEqual(told & set(self.rules), set(self.rules))

    def test_each_says_what_it_is_and_how_bad(self):
        for name, rule in self.rules.items():
            self.assertIn(rule["labels"]["severity"], ("critical", "warning"), name)
            self.assertTrue(rule["annotations"]["summary"] and rule["annotations"]["description"], name)


def steps(rise, samples, start=0):
    """A counter that rises by so much over so many samples."""
    return [start + rise * index // (samples - 1) for index in range(samples)]


if __name__ == "__main__":
    unittest.main()
