"""What the service itself says: its settings, its paths, its metrics, and the binary."""

import os
import re
import subprocess
from functools import cache
from pathlib import Path

from chart import ROOT


def binary():
    """The service, as `cargo build` leaves it."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    path = (ROOT / target) / "debug" / "upistream"
    assert path.exists(), f"{path} is not there: `cargo build` makes it"
    return path


def run(*args, environment=None, timeout=60):
    """Both outputs as text, and the exit code."""
    # Nothing of the caller's own settings: only what the test says.
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("UPISTREAM")}
    return subprocess.run(
        [binary(), *args], env=inherited | (environment or {}), capture_output=True, text=True, timeout=timeout, check=False
    )


@cache
def reference():
    """The commented reference of all settings."""
    return (ROOT / "src" / "config" / "config.default.toml").read_text()


@cache
def settings():
    """Each setting by its dotted key, as the reference gives it: names of accounts and callers are `*`."""
    found = {}
    section = ""
    for line in reference().splitlines():
        line = line.removeprefix("#")
        if header := re.fullmatch(r"\[([a-z0-9_.-]+)\]", line):
            section = re.sub(r"^(accounts|callers)\.[^.]+", r"\1.*", header[1])
        elif setting := re.fullmatch(r"([a-z0-9_]+) = (.+)", line):
            found[f"{section}.{setting[1]}"] = setting[2]
    return found


@cache
def secret_settings():
    """Those whose example says where a secret lies."""
    return {key for key, value in settings().items() if "{ env = " in value}


@cache
def metric_names():
    """Those in the code, as Prometheus sees them."""
    files = [ROOT / "src" / "telemetry.rs", *sorted((ROOT / "src" / "telemetry").rglob("*.rs"))]
    code = "\n".join(path.read_text() for path in files)
    found = set(re.findall(r'"((?:upistream|rpc_server)_[a-z_]+)"', code))
    assert len(found) > 5, "the names are read"
    return found


@cache
def admin_paths():
    return set(re.findall(r'\.route\("(/[a-z]+)"', (ROOT / "src" / "http" / "admin.rs").read_text()))


@cache
def webhook_path():
    """The fixed beginning of the path that providers call."""
    [path] = set(re.findall(r'"(/webhooks/)\{', (ROOT / "src" / "http" / "webhooks.rs").read_text()))
    return path
