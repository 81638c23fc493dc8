"""The Dockerfile as far as it can be judged without a builder: what it copies is what the build needs, and it fits the chart."""

import fnmatch
import json
import re
import shutil
import subprocess
import tempfile
import tomllib
import unittest
from pathlib import Path

from chart import ROOT, render, scenarios


def instructions():
    """Each instruction with its arguments, by stage."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    stages = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, arguments = line.split(maxsplit=1)
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, arguments))
    return stages


def copied():
    """What the first stage takes from this folder."""
    found = []
    for name, arguments in instructions()[0]:
        if name == "COPY":
            *sources, _ = arguments.split()
            found += sources
    return found


def ignored(path):
    """As .dockerignore has it: the last line that fits decides."""
    verdict = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!")
            if fnmatch.fnmatch(path, pattern) or path.startswith(f"{pattern}/"):
                verdict = not line.startswith("!")
    return verdict


def built_sources():
    """The sources without what is for tests alone: modules within a file, and files."""
    sources = {path: path.read_text() for path in sorted((ROOT / "src").rglob("*.rs"))}
    of_tests = set()
    for path, text in sources.items():
        folder = path.parent if path.stem in ("mod", "lib", "main") else path.with_suffix("")
        for name in re.findall(r"#\[cfg\(test\)\]\n *(?:pub[^ ]* )?mod ([a-z_]+);", text):
            of_tests |= {folder / f"{name}.rs", folder / name}
    for path, text in sources.items():
        if not of_tests & {path, *path.parents}:
            yield path, text.split("#[cfg(test)]\nmod tests {")[0]


class Image(unittest.TestCase):
    def test_the_builder_gets_what_it_copies_and_nothing_else(self):
        for path in copied():
            self.assertTrue((ROOT / path).exists(), path)
            self.assertFalse(ignored(path), path)
        # What a build is told there, such as how SQLite asks the disk, holds for the image too.
        self.assertIn(".cargo", copied())
        for path in ("target", ".git", "tests", "helm", "upistream-data", "upistream.toml", ".env", "README.md"):
            self.assertTrue(ignored(path), path)

    def test_cargo_finds_a_whole_package_in_what_is_copied(self):
        with tempfile.TemporaryDirectory() as folder:
            for path in copied():
                source, target = ROOT / path, Path(folder) / path
                shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
            arguments = ["cargo", "metadata", "--no-deps", "--offline", "--locked", "--format-version", "1"]
            done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            [package] = json.loads(done.stdout)["packages"]
            kinds = {kind for target in package["targets"] for kind in target["kind"]}
            self.assertLessEqual({"bin", "lib", "custom-build"}, kinds)

    def test_what_the_sources_include_is_copied(self):
        within = [(ROOT / path).resolve() for path in copied()]
        included = 0
        for path, code in [(ROOT / "build.rs", (ROOT / "build.rs").read_text()), *built_sources()]:
            for name in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', code):
                file = (path.parent / name).resolve()
                included += 1
                self.assertTrue(any(file == root or root in file.parents for root in within), f"{path} includes {file}")
        self.assertGreater(included, 0)

    def test_both_stages_have_the_same_c_library(self):
        build, final = (stage[0][1] for stage in instructions())
        self.assertRegex(build, r"^rust:\d+\.\d+-slim-bookworm AS build$")
        self.assertEqual(final, "gcr.io/distroless/cc-debian12:nonroot")

    def test_the_builder_is_the_compiler_of_the_package(self):
        package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
        self.assertIn(f"rust:{package['rust-version']}-", instructions()[0][0][1])

    def test_what_is_built_is_what_is_locked_and_stripped(self):
        [(_, run)] = [found for found in instructions()[0] if found[0] == "RUN"]
        self.assertIn("--release", run)
        self.assertIn("--locked", run)
        self.assertTrue(tomllib.loads((ROOT / "Cargo.toml").read_text())["profile"]["release"]["strip"])

    def test_the_image_is_the_one_that_the_chart_runs(self):
        final = dict(instructions()[1])
        rendering = render(scenarios()["embedded"])
        user = rendering.pod["securityContext"]
        self.assertEqual(final["USER"], f"{user['runAsUser']}:{user['runAsGroup']}")
        self.assertEqual(json.loads(final["ENTRYPOINT"]), ["/upistream"])
        self.assertEqual(json.loads(final["CMD"]), rendering.container["args"][:1])
        ports = {port["containerPort"] for port in rendering.container["ports"]}
        self.assertEqual({int(port) for port in final["EXPOSE"].split()}, ports)
        self.assertIn(final["WORKDIR"], {mount["mountPath"] for mount in rendering.container["volumeMounts"]})


if __name__ == "__main__":
    unittest.main()
