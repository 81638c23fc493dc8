"""The README says what the chart does."""

import re
import unittest

import yaml

import chart
import checks
import service
from chart import ROOT, over, render, scenarios

SECTION = (ROOT / "README.md").read_text().split("## Deploy with Helm\n")[1].split("\n## ")[0]


def rows(heading):
    """The first cells of the table that begins with this one."""
    table = SECTION.split(f"| {heading} |")[1].split("\n\n")[0]
    return [line.split(" | ")[0].strip("| ") for line in table.splitlines()[2:]]


class Readme(unittest.TestCase):
    def test_the_values_that_are_shown_are_good_ones(self):
        [text] = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
        rendering = render(over(chart.read(chart.CHART / "values-ha.yaml"), yaml.safe_load(text)))
        for check in checks.ALL:
            check(rendering)

    def test_the_trial_that_is_shown_is_one(self):
        rendering = render({"insecure": True, "config": {"sandbox": {}}})
        for check in checks.ALL:
            check(rendering)

    def test_every_alert_has_its_line_and_no_other(self):
        rule = render(over(scenarios()["embedded"], {"metrics": {"prometheusRule": {"enabled": True}}})).one("PrometheusRule")
        alerts = [entry["alert"] for group in rule["spec"]["groups"] for entry in group["rules"]]
        self.assertEqual([row.strip("`") for row in rows("alert")], alerts)

    def test_every_value_that_is_named_is_there(self):
        schema = chart.read(chart.CHART / "values.schema.json")
        named = 0
        for row in rows("value"):
            section = ""
            for name in re.findall(r"`([A-Za-z.]+)`", row):
                # `.adminFrom` follows `networkPolicy.grpcFrom`.
                section, path = (section, section + name) if name.startswith(".") else (name.rsplit(".", 1)[0], name)
                found = schema
                for part in path.split("."):
                    self.assertIn(part, found["properties"], path)
                    found = found["properties"][part]
                named += 1
        self.assertGreater(named, 15)

    def test_every_setting_that_is_named_is_there(self):
        for key in re.findall(r"`((?:drain|events)\.[a-z_]+)`", SECTION):
            self.assertIn(key, service.settings())

    def test_the_services_are_named_as_they_are(self):
        rendering = render(scenarios()["embedded"])
        names = {found["metadata"]["name"] for found in rendering.of_kind("Service")}
        self.assertLessEqual({"pay-upistream", "pay-upistream-headless"}, names)
        self.assertIn("dns:///pay-upistream-headless.<namespace>.svc:50051", SECTION)


if __name__ == "__main__":
    unittest.main()
