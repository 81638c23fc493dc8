"""A place where the rendered configuration can be tried: its files, its redis."""

import os
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import checks
import service

# Long enough for every kind of secret; each is another one.
SECRET = "a-secret-of-some-length"
REDIS_START_SECONDS = 30


@contextmanager
def pod(rendering):
    """A folder that has what the pod's volumes would hold, the configuration rewritten to it, and the environment."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        toml = rendering.toml
        for mount in ("/etc/upistream", "/var/lib/upistream"):
            toml = toml.replace(f'"{mount}/', f'"{folder}{mount}/')
        (folder / "var/lib/upistream").mkdir(parents=True)
        for name in ("config", "secrets", "tls"):
            (folder / "etc/upistream" / name).mkdir(parents=True)
        for name, text in rendering.one("ConfigMap")["data"].items():
            (folder / "etc/upistream/config" / name).write_text(toml if name == "upistream.toml" else text)
        for name in ("tls.crt", "tls.key", "ca.crt"):
            (folder / "etc/upistream/tls" / name).write_text("A certificate or its key: whether it is one is seen when it is used.\n")
        environment = {}
        for number, place in enumerate(places(rendering.config)):
            if "file" in place:
                (folder / place["file"].lstrip("/")).write_text(f"{SECRET}-{number}\n")
            else:
                # As the pod gets it from a Secret of the user's.
                environment[place["env"]] = f"{SECRET}-{number}" if "TOKEN_KEY" not in place["env"] else "0" * 64
        yield folder, environment


def places(config):
    """Where secrets lie, each place once."""
    found = []
    for key, value in checks.leaves(config):
        if checks.general(key) in service.secret_settings():
            found += [place for place in (value if isinstance(value, list) else [value]) if place not in found]
    return found


def config_file(folder):
    return folder / "etc/upistream/config/upistream.toml"


def redis_arguments(rendering):
    """Those that the chart starts its own with, or, for one elsewhere, what production asks of it."""
    own = rendering.of_kind("StatefulSet")
    if own:
        [container] = own[0]["spec"]["template"]["spec"]["containers"]
        return container["args"]
    return ["--dir", "/data", "--appendonly", "yes", "--appendfsync", "always", "--maxmemory", "256mb", "--maxmemory-policy", "noeviction"]


def redis_login(rendering, folder):
    """What lets the configured login in, and nobody else."""
    redis = rendering.config["store"]["redis"]
    if "password" not in redis:
        return []
    password = (folder / redis["password"]["file"].lstrip("/")).read_text().strip()
    if "username" not in redis:
        return ["--requirepass", password]
    return ["--user", redis["username"], "on", f">{password}", "~*", "&*", "+@all", "--user", "default", "off"]


@contextmanager
def redis(arguments):
    """A redis-server of the test's own; its URL. `/data` is a folder that goes with it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "redis.sock"
        moved = [folder if argument == "/data" else argument for argument in arguments]
        process = subprocess.Popen(
            ["redis-server", *moved, "--port", "0", "--unixsocket", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            wait_until(lambda: answers(path, process), REDIS_START_SECONDS, "redis-server answers")
            yield f"unix://{path}"
        finally:
            process.terminate()
            process.communicate(timeout=REDIS_START_SECONDS)


def answers(path, process):
    assert process.poll() is None, f"redis-server ended: {process.communicate()[0]}"
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(os.fspath(path))
            connection.sendall(b"PING\r\n")
            # It asks for a password only once it is up.
            return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False


def wait_until(holds, seconds, what):
    """Looks again until it holds; there is nothing that would tell."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, f"{what}: not within {seconds} s"
        time.sleep(0.02)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
