"""The service runs as the chart starts it, and does what the chart expects of it."""

import json
import signal
import subprocess
import unittest
import urllib.error
import urllib.request
from contextlib import contextmanager

import place
import service
from chart import over, render, scenarios

START_SECONDS = 60
POD_UID = "0b9c9a3e-5f0a-4b8e-9d53-9f2f1c2d7a10"


@contextmanager
def served(rendering):
    """The service with the pod's arguments and files: the process, its ports by name, and the folder."""
    ports = {name: place.free_port() for name in ("grpc", "webhooks", "admin")}
    with place.pod(rendering) as (folder, environment):
        # Ports that are free here; nothing else is another than in the pod.
        environment |= {f"UPISTREAM__{name.upper()}__LISTEN": f"127.0.0.1:{port}" for name, port in ports.items()}
        environment |= {"UPISTREAM__SANDBOX__LISTEN": "127.0.0.1:0"}
        arguments = [moved(argument, folder) for argument in rendering.container["args"]]
        log = folder / "log"
        with log.open("w") as output:
            process = subprocess.Popen([service.binary(), *arguments], env=environment, stdout=output, stderr=output)
        try:
            place.wait_until(lambda: asked(rendering, ports, "startup", process, log) == 200, START_SECONDS, "the startup probe")
            place.wait_until(lambda: asked(rendering, ports, "readiness", process, log) == 200, START_SECONDS, "the readiness probe")
            yield process, ports, folder
        finally:
            process.kill()
            process.wait()


def moved(argument, folder):
    return f"{folder}{argument}" if argument.startswith(("/etc/upistream/", "/state/")) else argument


def asked(rendering, ports, probe, process, log):
    """The status that a probe of the chart's gets; 0 while nobody listens."""
    assert process.poll() is None, log.read_text()
    get = rendering.container[f"{probe}Probe"]["httpGet"]
    return status(f"http://127.0.0.1:{ports[get['port']]}{get['path']}")


def status(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return 0


class Serves(unittest.TestCase):
    def setUp(self):
        self.rendering = render(over(scenarios()["embedded"], {"config": {"drain": {"delay_ms": 1500, "limit_ms": 2000}}}))

    def steps(self, ports, folder):
        """What `helm test` does, one container after the other: each one's name and output."""
        pod = self.rendering.one("Pod", "-test")["spec"]
        (folder / "state").mkdir()
        for container in pod["initContainers"] + pod["containers"]:
            told = {entry["name"]: entry.get("value") for entry in container["env"]}
            self.assertEqual(told.keys(), {"POD_UID", "UPISTREAM_ADDRESS"})
            self.assertEqual(told["UPISTREAM_ADDRESS"], "http://pay-upistream.shop.svc:50051")
            arguments = [moved(argument, folder).replace("$(POD_UID)", POD_UID) for argument in container["args"]]
            done = service.run(*arguments, environment={"UPISTREAM_ADDRESS": f"http://127.0.0.1:{ports['grpc']}"})
            self.assertEqual(done.returncode, 0, f"{container['name']}: {done.stderr}")
            yield container["name"], [json.loads(line) for line in done.stdout.splitlines()]

    def test_helm_test_makes_one_code_and_reads_its_events_in_two_goes(self):
        with served(self.rendering) as (_, ports, folder):
            said = dict(self.steps(ports, folder))
        self.assertEqual(list(said), ["accounts", "create", "create-again", "first-event", "next-event"])
        self.assertIn("razorpay-sandbox", [account["name"] for account in said["accounts"]])
        [first], [again] = said["create"], said["create-again"]
        self.assertEqual(first["id"], again["id"])
        events = said["first-event"] + said["next-event"]
        self.assertEqual([event["type"] for event in events], ["qr.requested", "qr.activated"])
        self.assertEqual([(event["resource_id"], event["revision"]) for event in events], [(first["id"], 1), (first["id"], 2)])

    def test_metrics_are_where_prometheus_asks(self):
        monitor = render(over(scenarios()["embedded"], {"metrics": {"serviceMonitor": {"enabled": True}}})).one("ServiceMonitor")
        [endpoint] = monitor["spec"]["endpoints"]
        with served(self.rendering) as (_, ports, _):
            with urllib.request.urlopen(f"http://127.0.0.1:{ports[endpoint['port']]}{endpoint['path']}", timeout=5) as answer:
                text = answer.read().decode()
        self.assertIn("\n# TYPE upistream_store_up gauge\n", text)

    def test_the_ingress_leads_to_webhooks_and_to_nothing_else_there(self):
        with_ingress = over(scenarios()["embedded"], {"ingress": {"enabled": True, "host": "pay.example.com"}})
        ingress = render(with_ingress).one("Ingress", "-webhooks")
        [path] = ingress["spec"]["rules"][0]["http"]["paths"]
        with served(self.rendering) as (_, ports, _):
            webhooks = f"http://127.0.0.1:{ports[path['backend']['service']['port']['name']]}"
            # GET is not for webhooks, so the route is there; the others are not.
            self.assertEqual(status(f"{webhooks}{path['path']}razorpay-sandbox/a-wrong-secret-of-some-length"), 405)
            for elsewhere in ("/", "/metrics", "/livez", "/readyz"):
                self.assertEqual(status(webhooks + elsewhere), 404, elsewhere)

    def test_a_pod_that_is_told_to_end_is_alive_and_not_ready_and_ends_within_its_grace(self):
        with served(self.rendering) as (process, ports, folder):
            process.send_signal(signal.SIGTERM)
            place.wait_until(lambda: asked(self.rendering, ports, "readiness", process, folder / "log") == 503, 1, "readiness goes first")
            self.assertEqual(asked(self.rendering, ports, "liveness", process, folder / "log"), 200)
            self.assertEqual(process.wait(self.rendering.pod["terminationGracePeriodSeconds"]), 0)


if __name__ == "__main__":
    unittest.main()
