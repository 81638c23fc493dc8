"""Values that would be wrong are refused before anything is sent, and the message says which value it is."""

import json
import re
import unittest

from helm_python import HelmError

import chart
import service
from chart import over, render, scenarios

SHOP = {
    "webhook_url_secrets": [{"file": "/etc/upistream/secrets/shop-url"}],
    "razorpay": {
        "key_id": "rzp_test_0123456789abcd",
        "key_secret": {"file": "/etc/upistream/secrets/shop-key"},
        "webhook_secrets": [{"file": "/etc/upistream/secrets/shop-webhook"}],
    },
}

# Which scenario, what is put over it, and what the message must say.
WRONG = [
    # How many, and on what.
    ("embedded", {"replicaCount": 2}, "/replicaCount'?: maximum: got 2, want 1"),
    ("embedded", {"replicaCount": 0}, "/replicaCount'?: minimum: got 0, want 1"),
    ("embedded", {"replicaCount": "1"}, "/replicaCount'?: got string, want integer"),
    ("embedded", {"autoscaling": {"enabled": True}}, "/autoscaling/enabled"),
    ("embedded", {"trialRedis": {"enabled": True}}, "/trialRedis/enabled"),
    ("embedded", {"store": {"embedded": {"persistence": {"accessMode": "ReadWriteMany"}}}}, "/store/embedded/persistence/accessMode"),
    ("embedded", {"store": {"backend": "postgres"}}, "/store/backend'?: value must be one of 'embedded', 'redis'"),
    ("redis", {"replicaCount": 1}, "/replicaCount'?: minimum: got 1, want 2"),
    ("redis", {"config": {"sandbox": {}}}, "/config/sandbox.*one replica, on the embedded store"),
    ("redis", {"trialRedis": {"enabled": False}}, "/store/redis'?: missing property 'urls'"),
    ("redis", {"store": {"redis": {"urls": ["redis://elsewhere:6379"]}}}, "/store/redis/urls.*set by `trialRedis`"),
    ("redis", {"store": {"redis": {"retention_at_rest": None}}}, "/store/redis/retention_at_rest'?: got null, want string"),
    ("redis", {"store": {"redis": {"retention_at_rest": "1y"}}}, "/store/redis/retention_at_rest"),
    ("redis", {"autoscaling": {"enabled": True, "minReplicas": 1}}, "/autoscaling/minReplicas"),
    ("redis", {"podDisruptionBudget": {"maxUnavailable": 0}}, "/podDisruptionBudget/maxUnavailable"),
    # Secrets that were written out.
    ("redis", {"accounts": {"shop": {"webhook_url_secrets": "an-unguessable-part-of-a-url"}}}, "/accounts/shop/webhook_url_secrets'?: got string"),
    ("redis", {"accounts": {"shop": {"webhook_url_secrets": ["an-unguessable-part-of-a-url"]}}}, "/accounts/shop/webhook_url_secrets/0'?: got string"),
    ("redis", {"accounts": {"shop": {"razorpay": {"key_secret": "s3cret"}}}}, "/accounts/shop/razorpay/key_secret'?: got string"),
    ("redis", {"accounts": {"shop": {"razorpay": {"key_secret": {"value": "s3cret"}}}}}, "/accounts/shop/razorpay/key_secret"),
    ("redis", {"accounts": {"shop": {"razorpay": {"key_secret": {"env": "A"}}}}}, "/accounts/shop/razorpay/key_secret'?: maxProperties"),
    ("external-secret", {"store": {"redis": {"password": "s3cret"}}}, "/store/redis/password'?: got string"),
    ("external-secret", {"store": {"redis": {"urls": ["redis://user:s3cret@redis:6379"]}}}, "`store.redis.urls` holds credentials"),
    # Accounts and callers.
    ("redis", {"accounts": {"Shop": SHOP}}, "Shop"),
    ("redis", {"accounts": {"shop": {"razorpai": {}}}}, "additional properties 'razorpai' not allowed|maxProperties"),
    ("redis", {"accounts": {"shop": {"eko": {}}}}, "/accounts/shop'?: maxProperties|missing properties"),
    ("redis", {"accounts": {"shop": {"razorpay": {"keyid": "x"}}}}, "additional properties 'keyid' not allowed"),
    ("redis", {"accounts": {"shop": {"razorpay": {"base_url": "http://api.example.com"}}}}, "/accounts/shop/razorpay/base_url"),
    ("ha", {"callers": {"orders": {"api_key_hashes": ["the-key-itself-s3cret"]}}}, "/callers/orders/api_key_hashes/0'?: minLength"),
    ("ha", {"callers": {"orders": {"api_key": "x"}}}, "additional properties 'api_key' not allowed"),
    ("ha", {"callers": {"other": {"accounts": ["shop"], "permissions": ["qr:read"]}}}, "/callers/other'?: missing property"),
    ("ha", {"callers": {"no one": {"identities": ["a"], "accounts": ["*"], "permissions": ["qr:read"]}}}, "no one"),
    # What the chart says itself.
    ("embedded", {"config": {"grpc": {"listen": "0.0.0.0:1"}}}, "/config/grpc/listen.*set by `grpc.port`"),
    ("embedded", {"config": {"grpc": {"tls": {"cert_file": "/x"}}}}, "/config/grpc/tls.*set by `grpc.tls`"),
    ("embedded", {"config": {"webhooks": {"trusted_proxies": ["10.0.0.0/8"]}}}, "/config/webhooks/trusted_proxies.*set by `webhooks.trustedProxies`"),
    ("embedded", {"config": {"mandates": {"rules_file": "/x"}}}, "/config/mandates/rules_file.*set by `mandateRules`"),
    ("embedded", {"config": {"store": {"partitions": 4}}}, "additional properties 'store' not allowed"),
    ("embedded", {"config": {"accounts": {"shop": SHOP}}}, "additional properties 'accounts' not allowed"),
    ("embedded", {"config": {"drain": {"delay_s": 5}}}, "additional properties 'delay_s' not allowed"),
    ("embedded", {"config": {"reconcilers": {}}}, "additional properties 'reconcilers' not allowed"),
    # Names that nobody knows.
    ("redis", {"replicas": 3}, "additional properties 'replicas' not allowed"),
    ("redis", {"image": {"tags": "1"}}, "additional properties 'tags' not allowed"),
    ("redis", {"ingress": {"hosts": ["a.example.com"]}}, "additional properties 'hosts' not allowed"),
    ("redis", {"networkPolicy": {"grpcFrom": [{"podSelectors": {}}]}}, "additional properties 'podSelectors' not allowed"),
    ("redis", {"networkPolicy": {"grpcFrom": [{}]}}, "/networkPolicy/grpcFrom/0'?: minProperties"),
    ("redis", {"metrics": {"prometheusRule": {"thresholds": {"doubtAge": 1}}}}, "additional properties 'doubtAge' not allowed"),
    # Guards that would be taken away.
    ("redis", {"podSecurityContext": {"runAsUser": 0}}, "/podSecurityContext/runAsUser"),
    ("redis", {"podSecurityContext": {"runAsNonRoot": False}}, "additional properties 'runAsNonRoot' not allowed"),
    ("redis", {"terminationGraceMarginSeconds": 0}, "/terminationGraceMarginSeconds"),
    ("redis", {"grpc": {"port": 443}}, "/grpc/port'?: minimum"),
    ("redis", {"image": {"digest": "latest"}}, "/image/digest"),
    ("redis", {"ingress": {"enabled": True}}, "/ingress/host'?: minLength"),
    ("external-secret", {"secrets": {"existingSecret": "another"}}, "/secrets/existingSecret'?: maxLength"),
    ("external-secret", {"secrets": {"externalSecret": {"secretStoreRef": {"name": ""}}}}, "/secrets/externalSecret/secretStoreRef/name'?: minLength"),
    ("external-secret", {"secrets": {"externalSecret": {"data": [], "dataFrom": []}}}, "/secrets/externalSecret"),
    ("external-secret", {"webhooks": {"trustedProxies": ["the ingress"]}}, "/webhooks/trustedProxies/0"),
    # What stands between values that are each fine.
    ("redis", {"insecure": False}, "nobody could call safely"),
    ("ha", {"callers": None}, "nobody could call safely"),
    ("ha", {"grpc": {"tls": {"existingSecret": ""}}}, "nobody could call safely"),
    ("redis", {"accounts": None}, "no account"),
    ("redis", {"grpc": {"tls": {"clientCertificate": "required"}}}, "`grpc.tls.clientCertificate` needs `grpc.tls.existingSecret`"),
    ("redis", {"service": {"admin": {"port": 8080}}}, "three listeners: give each its own port"),
    ("redis", {"autoscaling": {"enabled": True, "minReplicas": 9, "maxReplicas": 3}}, "`autoscaling.minReplicas` is above"),
    ("tls", {"grpc": {"tls": {"clientCertificate": ""}}}, "`callers.orders.identities` are names in certificates, but nobody is asked"),
    ("redis", {"config": {"telemetry": {"otlp_endpoint": "http://collector:4317"}}}, "name it in `networkPolicy.collectorTo`"),
    ("redis", {"secrets": {"existingSecret": ""}}, "names files of /etc/upistream/secrets, but there is no Secret"),
    ("everything", {"webhooks": {"trustedProxies": []}}, "name its networks in `webhooks.trustedProxies`"),
    ("embedded", {"config": {"events": {"ring_frames": 1.5}}}, "`events.ring_frames` is 1.5: the service takes whole numbers only"),
]


class Refused(unittest.TestCase):
    def test_what_is_wrong_is_refused_by_its_name(self):
        found = scenarios()
        for scenario, wrong, says in WRONG:
            with self.subTest(f"{scenario} with {json.dumps(wrong)}"):
                with self.assertRaises(HelmError) as refused:
                    render(over(found[scenario], wrong))
                self.assertRegex(str(refused.exception), re.compile(says, re.DOTALL))
                self.assertNotIn("s3cret", str(refused.exception))

    def test_nothing_said_is_not_enough(self):
        with self.assertRaises(HelmError) as refused:
            render({})
        self.assertIn("nobody could call safely", str(refused.exception))


class TheSchema(unittest.TestCase):
    """What the schema says of the service's settings is what the service has."""

    def setUp(self):
        self.schema = json.loads((chart.CHART / "values.schema.json").read_text())

    def resolved(self, schema):
        while "$ref" in schema:
            schema = self.schema["definitions"][schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def settings_below(self, schema, path):
        """Each setting with whether it is taken for a secret."""
        for name, part in self.resolved(schema)["properties"].items():
            at = f"{path}.{name}"
            is_secret = part.get("$ref", "").endswith("/secrets")
            part = self.resolved(part)
            if part.get("properties") and not is_secret:
                yield from self.settings_below(part, at)
            else:
                yield at, is_secret

    def test_accounts_have_the_settings_of_the_service_and_secrets_are_secrets(self):
        described = dict(self.settings_below(self.schema["definitions"]["account"], "accounts.*"))
        known = {key for key in service.settings() if key.startswith("accounts.")}
        self.assertEqual(set(described), known)
        self.assertEqual({key for key, is_secret in described.items() if is_secret}, service.secret_settings() & known)

    def test_redis_has_the_settings_of_the_service_and_secrets_are_secrets(self):
        redis = self.schema["properties"]["store"]["properties"]["redis"]
        described = dict(self.settings_below(redis, "store.redis"))
        known = {key for key in service.settings() if key.startswith("store.redis.")}
        self.assertEqual(set(described), known)
        self.assertEqual({key for key, is_secret in described.items() if is_secret}, service.secret_settings() & known)

    def test_every_section_of_the_service_can_be_set(self):
        known = {key.split(".")[0] for key in service.settings()} - {"accounts", "callers", "admin", "store"}
        self.assertLessEqual(known, set(self.schema["properties"]["config"]["properties"]))

    def test_no_secret_hides_in_another_section(self):
        elsewhere = {key for key in service.secret_settings() if not key.startswith(("accounts.", "store.redis."))}
        self.assertEqual(elsewhere, set(), "give it a type in values.schema.json, so that it can't be written out")

    def test_every_value_has_a_type(self):
        def bare(schema, at):
            if "properties" not in schema:
                return [] if schema.keys() & {"type", "$ref", "enum", "const"} else [at]
            return [found for name, part in schema["properties"].items() for found in bare(part, f"{at}.{name}")]

        self.assertEqual(bare({"properties": self.schema["properties"]}, ""), [])

    def test_values_and_schema_name_the_same(self):
        def both(values, schema, at):
            schema = self.resolved(schema)
            properties = schema.get("properties", {})
            if not isinstance(values, dict) or schema.get("additionalProperties") is not False:
                return
            self.assertEqual(set(values) - set(properties), set(), at)
            # Those with defaults of the service's own, or of none.
            if at not in ("/store/redis", "/podSecurityContext") and not at.startswith("/config"):
                missing = set(properties) - set(values) - {"global", "claims"}
                self.assertEqual(missing, set(), f"values.yaml does not show {at}")
            for name, value in values.items():
                both(value, properties[name], f"{at}/{name}")

        both(chart.read(chart.CHART / "values.yaml"), self.schema, "")


if __name__ == "__main__":
    unittest.main()
