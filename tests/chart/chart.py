"""The chart, rendered by Helm's own engine."""

import copy
import tomllib
from dataclasses import dataclass
from pathlib import Path

import helm_python
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "upistream"

# Not the chart's name, so that both are seen in the names of objects.
RELEASE = "pay"
NAMESPACE = "shop"


def read(path):
    return yaml.safe_load(Path(path).read_text())


def over(low, high):
    """Values put over values, as Helm does with several files."""
    merged = copy.deepcopy(low)
    for key, value in high.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = over(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def scenarios(chart=CHART):
    """The files of values that each must work, by name. High availability is an overlay, so it comes with what it lacks."""
    found = {path.name.removesuffix("-values.yaml"): read(path) for path in sorted((chart / "ci").glob("*-values.yaml"))}
    found["ha over values-ha.yaml"] = over(read(chart / "values-ha.yaml"), found["ha"])
    return found


@dataclass
class Rendering:
    """What Helm would send to Kubernetes."""

    values: dict
    objects: list
    notes: str

    def of_kind(self, kind):
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind, ending=""):
        """The object of this kind whose name is the release's with this ending."""
        found = [an_object for an_object in self.of_kind(kind) if an_object["metadata"]["name"] == self.name + ending]
        assert len(found) == 1, f"{kind} {self.name}{ending}: {len(found)} of them"
        return found[0]

    @property
    def name(self):
        [deployment] = self.of_kind("Deployment")
        return deployment["metadata"]["name"]

    @property
    def pod(self):
        """The service's own."""
        return self.one("Deployment")["spec"]["template"]["spec"]

    @property
    def container(self):
        [container] = self.pod["containers"]
        return container

    @property
    def toml(self):
        return self.one("ConfigMap")["data"]["upistream.toml"]

    @property
    def config(self):
        return tomllib.loads(self.toml)

    def pods(self):
        """Every pod that the chart makes, by what makes it."""
        for an_object in self.objects:
            where = f"{an_object['kind']} {an_object['metadata']['name']}"
            if an_object["kind"] == "Pod":
                yield where, an_object["spec"]
            elif an_object["kind"] in ("Deployment", "StatefulSet"):
                yield where, an_object["spec"]["template"]["spec"]


def render(values, chart=CHART, release=RELEASE):
    """Raises Helm's error where it refuses the values."""
    with helm_python.Chart.load(chart) as loaded:
        loaded.validate_schema(values)
        merged = loaded.merge_values(values)
        files = loaded.render(values, name=release, namespace=NAMESPACE)
    objects = []
    notes = ""
    for path, text in files.items():
        if path.endswith("NOTES.txt"):
            notes = text
        else:
            objects += [found for found in yaml.load_all(text, Loader=StrictLoader) if found]
    return Rendering(merged, objects, notes)


class StrictLoader(yaml.SafeLoader):
    """A key that is there twice is a mistake, of which YAML would take the last."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"{node.start_mark}: {twice} twice"
        return super().construct_mapping(node, deep)
