"""Each file of values renders to something that Kubernetes takes and that is safe."""

import json
import re
import unittest

import helm_python

import checks
import chart
import kinds
from chart import over, render, scenarios


class Rendered(unittest.TestCase):
    def test_lint_finds_nothing(self):
        for name, values in scenarios().items():
            with self.subTest(name):
                report = helm_python.lint(chart.CHART, values, strict=True)
                worse = [message for message in report["messages"] if message["severity"] > 1]
                self.assertEqual((worse, report["errors"]), ([], []))

    def test_all_that_must_hold_does(self):
        found = scenarios()
        self.assertGreaterEqual(set(found), {"embedded", "redis", "ha", "external-secret", "everything", "tls"})
        for name, values in found.items():
            rendering = render(values)
            for check in checks.ALL:
                with self.subTest(f"{name}: {check.__name__}"):
                    check(rendering)

    def test_a_long_name_is_cut(self):
        rendering = render(scenarios()["everything"], release="a-release-whose-name-is-as-long-as-helm-lets-it-be-53")
        checks.kubernetes_takes_it(rendering)

    def test_together_they_render_every_kind(self):
        kinds_seen = {an_object["kind"] for values in scenarios().values() for an_object in render(values).objects}
        self.assertLessEqual({kind for _, kind in kinds.OPERATORS}, kinds_seen)
        self.assertLessEqual(
            {"Deployment", "StatefulSet", "Service", "Ingress", "NetworkPolicy", "PodDisruptionBudget", "HorizontalPodAutoscaler", "Pod"},
            kinds_seen,
        )

    def test_another_configuration_is_another_pod_and_the_same_one_is_not(self):
        def pod(**log):
            values = over(scenarios()["redis"], {"config": {"log": log}})
            return render(values).one("Deployment")["spec"]["template"]

        self.assertEqual(pod(level="info"), pod(level="info"))
        self.assertNotEqual(pod(level="info"), pod(level="debug"))

    def test_going_down_is_slow(self):
        scaler = render(scenarios()["everything"]).one("HorizontalPodAutoscaler")["spec"]
        self.assertEqual([metric["type"] for metric in scaler["metrics"]], ["Resource", "Pods"])
        down = scaler["behavior"]["scaleDown"]
        self.assertGreaterEqual(down["stabilizationWindowSeconds"], 600)
        self.assertEqual(down["policies"], [{"type": "Pods", "value": 1, "periodSeconds": 300}])

    def test_an_empty_list_of_peers_lets_nobody_in(self):
        nobody = {"grpcFrom": [], "adminFrom": [], "webhooksFrom": [], "providersTo": []}
        values = over(scenarios()["embedded"], {"networkPolicy": nobody, "tests": {"enabled": False}})
        rendering = render(values)
        checks.kubernetes_takes_it(rendering)
        policy = rendering.one("NetworkPolicy")["spec"]
        self.assertFalse(policy["ingress"])
        self.assertEqual([port["port"] for rule in policy["egress"] for port in rule["ports"]], [53, 53])

    def test_what_is_off_is_not_there(self):
        off = {"networkPolicy": {"enabled": False}, "tests": {"enabled": False}, "serviceAccount": {"create": False}}
        rendering = render(over(scenarios()["redis"], off))
        checks.kubernetes_takes_it(rendering)
        for kind in ("NetworkPolicy", "Pod", "ServiceAccount", "Ingress", "ServiceMonitor", "PrometheusRule", "ExternalSecret"):
            self.assertEqual(rendering.of_kind(kind), [], kind)

    def test_the_volume_of_records_outlives_the_release(self):
        claim = render(scenarios()["embedded"]).one("PersistentVolumeClaim", "-data")
        self.assertEqual(claim["metadata"]["annotations"], {"helm.sh/resource-policy": "keep"})

    def test_a_claim_of_ones_own_is_taken(self):
        values = over(scenarios()["embedded"], {"store": {"embedded": {"persistence": {"existingClaim": "mine"}}}})
        rendering = render(values)
        self.assertEqual(rendering.of_kind("PersistentVolumeClaim"), [])
        claims = [volume["persistentVolumeClaim"]["claimName"] for volume in rendering.pod["volumes"] if "persistentVolumeClaim" in volume]
        self.assertEqual(claims, ["mine"])

    def test_objects_of_ones_own_are_templates(self):
        rendering = render(scenarios()["everything"])
        self.assertEqual(rendering.one("ConfigMap", "-extra")["data"], {"who": "pay"})
        rendering.one("ConfigMap", "-text")

    def test_the_dashboard_is_one(self):
        [text] = render(scenarios()["everything"]).one("ConfigMap", "-dashboard")["data"].values()
        dashboard = json.loads(text)
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
        self.assertEqual(len(places), len(set(places)), "panels lie upon each other")
        self.assertGreater(len(places), 10)
        for panel in dashboard["panels"]:
            self.assertTrue(panel["title"] and panel["description"])
            refs = [target["refId"] for target in panel["targets"]]
            self.assertEqual(refs, ["A", "B", "C"][: len(refs)])

    def test_metrics_are_named_in_one_file(self):
        for path in sorted((chart.CHART / "templates").rglob("*")):
            if path.is_file() and path.name != "_metrics.tpl":
                self.assertEqual(re.findall(r"\bupistream_[a-z_]+|\brpc_server_[a-z_]+", path.read_text()), [], path.name)


if __name__ == "__main__":
    unittest.main()
