"""The checks see what they are for: each is shown a chart that is broken in its way."""

import shutil
import tempfile
import unittest
from pathlib import Path

from helm_python import HelmError

import chart
import checks
from chart import render, scenarios

# In which scenario, which file, what is put in the place of what, and which check has to see it.
BROKEN = [
    ("redis", "deployment.yaml", "automountServiceAccountToken: false", "automountServiceAccountToken: true", checks.pods_are_restricted),
    ("redis", "deployment.yaml", "enableServiceLinks: false", "hostNetwork: true", checks.pods_are_restricted),
    ("redis", "_names.tpl", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", checks.pods_are_restricted),
    ("redis", "_names.tpl", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", checks.pods_are_restricted),
    ("redis", "_names.tpl", "drop: [ALL]", "drop: [NET_RAW]", checks.pods_are_restricted),
    ("redis", "trialredis.yaml", "runAsUser: 999", "runAsUser: 0", checks.pods_are_restricted),
    ("redis", "serviceaccount.yaml", "automountServiceAccountToken: false", "automountServiceAccountToken: true", checks.pods_are_restricted),
    ("redis", "_config.tpl", "(int .Values.terminationGraceMarginSeconds)", "0", checks.a_drain_is_never_cut_off),
    ("everything", "_config.tpl", '"limit_ms" 25000', '"limits_ms" 25000', checks.a_drain_is_never_cut_off),
    ("redis", "deployment.yaml", "livenessProbe:\n            httpGet: { path: /livez", "livenessProbe:\n            httpGet: { path: /readyz", checks.probes_ask_what_they_mean),
    ("redis", "deployment.yaml", "path: /readyz", "path: /healthz", checks.probes_ask_what_they_mean),
    ("everything", "_config.tpl", "(int $values.service.admin.port)", "9090", checks.addresses_fit),
    ("redis", "services.yaml", "targetPort: webhooks", "targetPort: grpc", checks.addresses_fit),
    ("redis", "services.yaml", "clusterIP: None", "publishNotReadyAddresses: true", checks.addresses_fit),
    ("redis", "services.yaml", "      targetPort: admin", "      targetPort: admin\n    - name: grpc\n      port: 1\n      targetPort: grpc", checks.addresses_fit),
    ("embedded", "deployment.yaml", "type: Recreate", "type: RollingUpdate", checks.one_replica_or_a_shared_store),
    ("embedded", "deployment.yaml", "replicas: {{ .Values.replicaCount }}", "replicas: 2", checks.one_replica_or_a_shared_store),
    ("embedded", "deployment.yaml", "persistentVolumeClaim:\n            claimName: {{ include \"upistream.claim\" . }}", "emptyDir: {}", checks.one_replica_or_a_shared_store),
    ("embedded", "_config.tpl", '"/var/lib/upistream/upistream.db"', '"/tmp/upistream.db"', checks.one_replica_or_a_shared_store),
    ("redis", "deployment.yaml", "maxUnavailable: 0", "maxUnavailable: 1", checks.one_replica_or_a_shared_store),
    ("redis", "deployment.yaml", "mountPath: /etc/upistream/secrets", "mountPath: /etc/upistream/secret", checks.no_secret_is_written),
    ("redis", "extraobjects.yaml", "{{- range", "---\napiVersion: v1\nkind: Secret\nmetadata: { name: a }\nstringData: { a: b }\n{{- range", checks.no_secret_is_written),
    ("everything", "deployment.yaml", "{{- with .Values.extraEnv }}", "{{- with .Values.extraObjectsOfNobody }}", checks.no_secret_is_written),
    ("redis", "deployment.yaml", "- name: secrets\n              mountPath: /etc/upistream/secrets", "- name: secrets\n              subPath: a\n              mountPath: /etc/upistream/secrets", checks.files_are_mounted_whole),
    ("redis", "deployment.yaml", "checksum/config:", "checksum/other:", checks.files_are_mounted_whole),
    ("ha", "ingress.yaml", '"nginx.ingress.kubernetes.io/enable-access-log" "false"', '"nginx.ingress.kubernetes.io/enable-access-log" "true"', checks.only_webhooks_face_the_internet),
    ("everything", "ingress.yaml", 'mergeOverwrite (deepCopy', 'merge (deepCopy', checks.only_webhooks_face_the_internet),
    ("ha", "ingress.yaml", "path: /webhooks/", "path: /", checks.only_webhooks_face_the_internet),
    ("ha", "ingress.yaml", 'name: {{ include "upistream.fullname" . }}-webhooks\n                port', 'name: {{ include "upistream.fullname" . }}\n                port', checks.only_webhooks_face_the_internet),
    ("ha", "_config.tpl", '"trusted_proxies" $values.webhooks.trustedProxies', '"trusted_proxies" (list "10.0.0.0/8")', checks.only_webhooks_face_the_internet),
    ("ha", "deployment.yaml", "{{- if .Values.insecure }}", "{{- if true }}", checks.safe_unless_told_otherwise),
    ("redis", "NOTES.txt", "INSECURE", "Note", checks.safe_unless_told_otherwise),
    ("redis", "networkpolicy.yaml", "{{- with .webhooksFrom }}\n    - from:\n        {{- toYaml . | nindent 8 }}\n      ports:", "{{- with .webhooksFrom }}\n    - ports:", checks.the_network_is_closed),
    ("redis", "networkpolicy.yaml", "policyTypes: [Ingress, Egress]", "policyTypes: [Ingress]", checks.the_network_is_closed),
    ("external-secret", "_config.tpl", '(default "6379" $port)', '"6379"', checks.the_network_is_closed),
    ("redis", "networkpolicy.yaml", "port: 6379", "port: 6380", checks.the_network_is_closed),
    ("redis", "trialredis.yaml", '{{- include "upistream.serverSelector" . | nindent 14 }}', "{}", checks.the_network_is_closed),
    ("redis", "deployment.yaml", '(include "upistream.serverSelector" $ | fromYaml)', '(include "upistream.selector" $ | fromYaml)', checks.replicas_are_spread),
    ("redis", "availability.yaml", '{{- include "upistream.serverSelector" . | nindent 6 }}', '{{- include "upistream.selector" . | nindent 6 }}', checks.replicas_are_spread),
    ("everything", "_metrics.tpl", "upistream_contradictions_total", "upistream_contradiction_total", checks.metrics_exist),
    ("everything", "_metrics.tpl", "subscribers: upistream_subscribers", "subscribers: upistream_subscriptions", checks.metrics_exist),
    ("everything", "_metrics.tpl", "{{- printf \"%s%s{%s}\" $name", "{{- printf \"%s%s{%.0s}\" $name", checks.metrics_exist),
    ("everything", "servicemonitor.yaml", "app.kubernetes.io/component: admin", "app.kubernetes.io/managed-by: Helm", checks.metrics_are_found),
    ("everything", "servicemonitor.yaml", "path: /metrics", "path: /prometheus", checks.metrics_are_found),
    ("everything", "servicemonitor.yaml", "scrapeTimeout:", "scrapeTimeouts:", checks.kubernetes_takes_it),
    ("everything", "prometheusrule.yaml", "groups:", "group:", checks.kubernetes_takes_it),
    ("redis", "deployment.yaml", "enableServiceLinks: false", "enableServiceLink: false", checks.kubernetes_takes_it),
    ("external-secret", "externalsecret.yaml", "refreshInterval:", "refresh:", checks.kubernetes_takes_it),
]


def broken(folder, file, old, new):
    """A copy of the chart with that one difference."""
    copy = Path(folder) / "upistream"
    shutil.copytree(chart.CHART, copy)
    [path] = copy.glob(f"templates/**/{file}")
    text = path.read_text()
    assert old in text, f"{file} has no {old!r}: the break would break nothing"
    path.write_text(text.replace(old, new, 1))
    return copy


def fails(check, rendering):
    try:
        check(rendering)
    except (AssertionError, KeyError):
        return True
    return False


class Broken(unittest.TestCase):
    def test_each_break_is_seen(self):
        found = scenarios()
        for scenario, file, old, new, check in BROKEN:
            with self.subTest(f"{file}: {new}"), tempfile.TemporaryDirectory() as folder:
                copy = broken(folder, file, old, new)
                self.assertTrue(fails(check, render(found[scenario], chart=copy)), f"{check.__name__} does not see it")

    def test_each_check_is_shown_a_break(self):
        shown = {check for *_, check in BROKEN}
        self.assertEqual([check.__name__ for check in checks.ALL if check not in shown], [])

    def test_a_chart_that_is_whole_fails_nothing(self):
        """Or the breaks above would show nothing."""
        for name, values in scenarios().items():
            rendering = render(values)
            self.assertEqual([check.__name__ for check in checks.ALL if fails(check, rendering)], [], name)

    def test_without_the_schema_two_replicas_would_share_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = broken(folder, "deployment.yaml", "serve", "serve")
            values = scenarios()["embedded"] | {"replicaCount": 2}
            with self.assertRaises(HelmError):
                render(values, chart=copy)
            (copy / "values.schema.json").unlink()
            self.assertTrue(fails(checks.one_replica_or_a_shared_store, render(values, chart=copy)))

    def test_a_secret_that_the_schema_lets_through_is_seen(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = broken(folder, "deployment.yaml", "serve", "serve")
            (copy / "values.schema.json").unlink()
            values = chart.over(scenarios()["redis"], {"accounts": {"shop": {"razorpay": {"key_secret": "written-out"}}}})
            self.assertTrue(fails(checks.no_secret_is_written, render(values, chart=copy)))


if __name__ == "__main__":
    unittest.main()
