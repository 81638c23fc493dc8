"""The service reads the configuration that the chart writes."""

import re
import unittest

import checks
import place
import service
from chart import over, render, scenarios


def known(section):
    """Whether the service has the section: callers and TLS may be younger than the chart."""
    return any(key.startswith(section) for key in service.settings())


class Configuration(unittest.TestCase):
    def check(self, rendering, leave_out=()):
        """`config check` in the pod's place, with a redis of its own where the configuration has one."""
        with place.pod(rendering) as (folder, environment):
            file = place.config_file(folder)
            arguments = ["config", "check", "--config", str(file)]
            if "--insecure" in rendering.container["args"] or leave_out:
                arguments.append("--insecure")
            file.write_text(without(leave_out, file.read_text()))
            if "redis" not in rendering.config["store"]:
                return service.run(*arguments, environment=environment)
            with place.redis(place.redis_arguments(rendering) + place.redis_login(rendering, folder)) as url:
                # Only where it is, and what hangs on that, is another than in the cluster.
                environment |= {"UPISTREAM__STORE__REDIS__URLS": f'["{url}"]', "UPISTREAM__STORE__REDIS__CLUSTER": "false"}
                return service.run(*arguments, environment=environment)

    def test_each_scenario_is_a_good_configuration(self):
        for name, values in scenarios().items():
            with self.subTest(name):
                rendering = render(values)
                missing = sorted(section for section in ("callers", "grpc.tls") if not known(section) and has(rendering.config, section))
                checked = self.check(rendering)
                if missing:
                    self.is_refused_for(missing, checked)
                    checked = self.check(rendering, leave_out=missing)
                self.assertEqual(checked.returncode, 0, checked.stderr)
                self.assertIn("the configuration is fine", checked.stderr)

    def is_refused_for(self, missing, checked):
        """A build that lacks a section says so of it, and has nothing else to say."""
        self.assertEqual(checked.returncode, 1, checked.stdout)
        self.assertEqual(sorted(re.findall("there is no setting `([a-z.]+)`", checked.stderr)), missing)
        self.assertEqual(len(re.findall(r"upistream\.toml:\d+: ", checked.stderr)), len(missing), checked.stderr)

    def test_a_typing_error_is_found(self):
        """So the test above would see one."""
        values = over(scenarios()["embedded"], {"config": {"events": {"ring_frame": 8192}}})
        checked = self.check(render(values))
        self.assertEqual(checked.returncode, 1)
        self.assertIn("ring_frame", checked.stderr)

    def test_the_trial_redis_loses_nothing(self):
        checked = self.check(render(scenarios()["redis"]))
        self.assertEqual(checked.returncode, 0, checked.stderr)
        self.assertNotIn("data loss", checked.stdout)
        self.assertNotIn("warning", checked.stdout)

    def test_large_numbers_stay_whole(self):
        values = over(scenarios()["embedded"], {"config": {"grpc": {"request_bytes_max": 1048576, "streams_max": 1000000}}})
        rendering = render(values)
        self.assertEqual(rendering.config["grpc"]["request_bytes_max"], 1048576)
        self.assertIs(type(rendering.config["grpc"]["streams_max"]), int)
        self.assertEqual(self.check(rendering).returncode, 0)

    def test_texts_come_through_as_they_are(self):
        text = 'quotes " and \\ and \u20b9 and <&>, two\nlines'
        values = over(scenarios()["embedded"], {"config": {"log": {"level": text}, "telemetry": {"a": [text], "b": {"c d": True}}}})
        config = render(values).config
        self.assertEqual(config["log"]["level"], text)
        self.assertEqual(config["telemetry"], {"a": [text], "b": {"c d": True}})

    def test_rules_for_mandates_are_read_by_the_service(self):
        rules = service.run("config", "rules").stdout
        values = over(scenarios()["embedded"], {"mandateRules": rules})
        rendering = render(values)
        self.assertEqual(rendering.config["mandates"]["rules_file"], "/etc/upistream/config/mandate-rules.toml")
        self.assertEqual(self.check(rendering).returncode, 0)
        broken = self.check(render(over(values, {"mandateRules": rules.replace("attempts_max", "attempts")})))
        self.assertEqual(broken.returncode, 1)
        self.assertIn("mandate-rules.toml", broken.stderr)


def without(sections, toml):
    parts = toml.split("\n\n")
    return "\n\n".join(part for part in parts if not part.startswith(tuple(f"[{section}" for section in sections)))


def has(config, section):
    return any(key.startswith(section) for key, _ in checks.leaves(config))


if __name__ == "__main__":
    unittest.main()
