"""What holds for everything that the chart renders, whatever the values. Each check takes a `Rendering` and asserts."""

import json

import promql_parser

import kinds
import service

# Beside the drain: stores are closed, the last tasks end.
MARGIN_SECONDS = 5


def kubernetes_takes_it(rendering):
    for an_object in rendering.objects:
        kinds.validate(an_object)
        name = an_object["metadata"]["name"]
        assert len(name) <= 63, f"{name} is too long"
    names = [(an_object["kind"], an_object["metadata"]["name"]) for an_object in rendering.objects]
    assert len(names) == len(set(names)), f"twice: {names}"


def pods_are_restricted(rendering):
    """Kubernetes' "restricted" standard, no writing beside volumes, and no token for Kubernetes' API."""
    for where, pod in rendering.pods():
        assert pod["automountServiceAccountToken"] is False, where
        assert pod["enableServiceLinks"] is False, where
        assert not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")), where
        assert not any("hostPath" in volume for volume in pod.get("volumes", [])), where
        of_pod = pod["securityContext"]
        assert of_pod["runAsNonRoot"] is True and of_pod["runAsUser"] > 0, where
        assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}, where
        for container in pod.get("initContainers", []) + pod["containers"]:
            at = f"{where}, {container['name']}"
            security = container["securityContext"]
            assert security["runAsNonRoot"] is True, at
            assert security["readOnlyRootFilesystem"] is True, at
            assert security["allowPrivilegeEscalation"] is False, at
            assert security["capabilities"] == {"drop": ["ALL"]}, at
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}, at
            assert not security.get("privileged"), at
            assert container["resources"]["limits"]["memory"], at
    for account in rendering.of_kind("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def a_drain_is_never_cut_off(rendering):
    drain = rendering.config.get("drain", {})
    default = {key: int(service.settings()[f"drain.{key}"]) for key in ("delay_ms", "limit_ms")}
    takes_ms = sum(drain.get(key, default[key]) for key in default)
    grace = rendering.pod["terminationGracePeriodSeconds"]
    assert grace * 1000 >= takes_ms + MARGIN_SECONDS * 1000, f"a drain takes {takes_ms} ms, the pod is killed after {grace} s"


def probes_ask_what_they_mean(rendering):
    container = rendering.container
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    for name, get in asked.items():
        assert get["port"] == "admin", name
        assert get["path"] in service.admin_paths(), f"{name}: {get['path']}"
    assert asked["liveness"]["path"] == "/livez", "what looks at the store must not kill a pod"
    assert asked["startup"]["path"] == "/livez", "a start is over though redis is away"
    assert asked["readiness"]["path"] == "/readyz"


def addresses_fit(rendering):
    """The service listens where the container says, and each Service leads to it."""
    ports = {port["name"]: port["containerPort"] for port in rendering.container["ports"]}
    assert set(ports) == {"grpc", "webhooks", "admin"}
    for name, port in ports.items():
        assert rendering.config[name]["listen"] == f"0.0.0.0:{port}", name
    labels = rendering.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    leads = {"": "grpc", "-headless": "grpc", "-webhooks": "webhooks", "-admin": "admin"}
    for ending, port in leads.items():
        spec = rendering.one("Service", ending)["spec"]
        assert spec["selector"].items() <= labels.items(), ending
        assert [entry["targetPort"] for entry in spec["ports"]] == [port], f"{ending} leads to {port} alone"
    assert rendering.one("Service", "-headless")["spec"]["clusterIP"] == "None"
    assert rendering.one("Service", "-admin")["spec"]["type"] == "ClusterIP", "the admin port is inside"


def one_replica_or_a_shared_store(rendering):
    spec = rendering.one("Deployment")["spec"]
    claims = [volume for volume in rendering.pod["volumes"] if "persistentVolumeClaim" in volume]
    if "embedded" in rendering.config["store"]:
        assert spec["replicas"] == 1
        assert spec["strategy"] == {"type": "Recreate"}, "two processes would open one file"
        assert len(claims) == 1, "records would go with the pod"
        [folder] = [mount["mountPath"] for mount in rendering.container["volumeMounts"] if mount["name"] == claims[0]["name"]]
        assert rendering.config["store"]["embedded"]["path"].startswith(f"{folder}/"), "the file lies on the volume"
        assert not rendering.of_kind("HorizontalPodAutoscaler") and not rendering.of_kind("PodDisruptionBudget")
    else:
        replicas = [spec["replicas"]] if "replicas" in spec else []
        replicas += [scaler["spec"]["minReplicas"] for scaler in rendering.of_kind("HorizontalPodAutoscaler")]
        assert len(replicas) == 1 and replicas[0] >= 2, replicas
        assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert not claims
        assert rendering.config["store"]["redis"]["urls"]


def no_secret_is_written(rendering):
    """What the service takes as a secret stands in the configuration only as a place, and what is named is there."""
    volumes = {mount["mountPath"] for mount in rendering.container["volumeMounts"]}
    variables = {entry["name"] for entry in rendering.container.get("env", [])}
    for key, value in leaves(rendering.config):
        if general(key) not in service.secret_settings():
            continue
        for place in value if isinstance(value, list) else [value]:
            assert isinstance(place, dict) and len(place) == 1, f"{key} is written in a ConfigMap"
            if "file" in place:
                folder = place["file"].rsplit("/", 1)[0]
                assert folder in volumes, f"{key}: nothing is mounted at {folder}"
            else:
                assert place["env"] in variables, f"{key}: {place['env']} is not set"
    assert not rendering.of_kind("Secret"), "the chart makes no Secret: its values would lie in the release"


def leaves(tree, path=()):
    """Each setting with its dotted key. A place of a secret is one setting."""
    for name, value in tree.items():
        at = (*path, name)
        if isinstance(value, dict) and not (len(value) == 1 and value.keys() <= {"file", "env"}):
            yield from leaves(value, at)
        else:
            yield ".".join(at), value


def general(key):
    parts = key.split(".")
    if parts[0] in ("accounts", "callers"):
        parts[1] = "*"
    return ".".join(parts)


def files_are_mounted_whole(rendering):
    """A subPath never changes under a running pod, so certificates and secrets could not be rotated."""
    for mount in rendering.container["volumeMounts"]:
        assert "subPath" not in mount, mount
    volumes = [volume["name"] for volume in rendering.pod["volumes"]]
    mounted = [mount["name"] for mount in rendering.container["volumeMounts"]]
    assert sorted(volumes) == sorted(mounted)
    assert "checksum/config" in rendering.one("Deployment")["spec"]["template"]["metadata"]["annotations"]


def only_webhooks_face_the_internet(rendering):
    for ingress in rendering.of_kind("Ingress"):
        annotations = ingress["metadata"]["annotations"]
        assert annotations["nginx.ingress.kubernetes.io/enable-access-log"] == "false", "a webhook's path holds a secret"
        assert ingress["spec"]["tls"]
        for rule in ingress["spec"]["rules"]:
            assert rule["host"]
            for path in rule["http"]["paths"]:
                assert path["path"] == service.webhook_path() and path["pathType"] == "Prefix"
                backend = path["backend"]["service"]
                assert backend == {"name": f"{rendering.name}-webhooks", "port": {"name": "webhooks"}}
        assert rendering.config["webhooks"]["public_url"] == f"https://{ingress['spec']['rules'][0]['host']}"
    said = rendering.values["webhooks"]["trustedProxies"]
    assert rendering.config["webhooks"]["trusted_proxies"] == said


def safe_unless_told_otherwise(rendering):
    is_told = rendering.values["insecure"]
    assert ("--insecure" in rendering.container["args"]) == is_told
    if not is_told:
        assert rendering.config["callers"]
        assert rendering.config["grpc"]["tls"]["cert_file"] and rendering.config["grpc"]["tls"]["key_file"]
    assert ("INSECURE" in rendering.notes) == is_told


def the_network_is_closed(rendering):
    """Each rule names peers and ports: a rule that lacks one of them means everybody or everything."""
    if not rendering.values["networkPolicy"]["enabled"]:
        assert not rendering.of_kind("NetworkPolicy")
        return
    policy = rendering.one("NetworkPolicy")["spec"]
    labels = rendering.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    for rule in policy["ingress"] or []:
        assert rule["from"] and rule["ports"], rule
        assert [port["port"] for port in rule["ports"]] in (["grpc"], ["webhooks"], ["admin"]), rule
    for rule in policy["egress"] or []:
        assert rule["to"] and rule["ports"], rule
    redis = [port["port"] for rule in policy["egress"] for port in rule["ports"]]
    for url in rendering.config["store"].get("redis", {}).get("urls", []):
        assert int(url.rsplit(":", 1)[1]) in redis, f"{url} can't be reached"
    for of_redis in rendering.of_kind("StatefulSet"):
        closed = rendering.one("NetworkPolicy", "-redis")["spec"]
        assert closed["podSelector"]["matchLabels"] == of_redis["spec"]["selector"]["matchLabels"]
        [rule] = closed["ingress"]
        assert rule["from"] == [{"podSelector": {"matchLabels": rendering.one("Deployment")["spec"]["selector"]["matchLabels"]}}]


def replicas_are_spread(rendering):
    """Over the service's own pods: without a selector, or with another one, nothing would be."""
    labels = rendering.one("Deployment")["spec"]["selector"]["matchLabels"]
    for constraint in rendering.pod.get("topologySpreadConstraints", []):
        assert constraint["labelSelector"] == {"matchLabels": labels}
    for budget in rendering.of_kind("PodDisruptionBudget"):
        assert budget["spec"]["selector"] == {"matchLabels": labels}


def expressions(rendering):
    """Every PromQL expression, by where it stands."""
    for rule in rendering.of_kind("PrometheusRule"):
        for group in rule["spec"]["groups"]:
            for entry in group["rules"]:
                yield f"alert {entry['alert']}", entry["expr"]
    for dashboard in rendering.of_kind("ConfigMap"):
        for name, text in dashboard.get("data", {}).items():
            if name.endswith(".json"):
                for panel in json.loads(text)["panels"]:
                    for target in panel["targets"]:
                        yield f"panel {panel['title']}", target["expr"].replace("$__rate_interval", "5m")


def selectors(expression):
    """The series that an expression reads."""
    found = []

    def look(node):
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        elif isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)

    promql_parser.walk(promql_parser.parse(expression), look)
    return found


def metrics_exist(rendering):
    known = service.metric_names()
    own = {rule["alert"] for rule in rendering.values["metrics"]["prometheusRule"]["extraRules"]}
    for where, expression in expressions(rendering):
        read = selectors(expression)
        assert read, f"{where} reads nothing"
        if where.removeprefix("alert ") in own:
            continue
        for selector in read:
            histogram = selector.name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")
            assert {selector.name, histogram} & known, f"{where}: there is no metric `{selector.name}`"
            matchers = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
            # What Prometheus' operator writes beside the series of a ServiceMonitor.
            assert matchers["job"] == f"{rendering.name}-admin" and matchers["namespace"] == "shop", f"{where}: another release's too"
    for scaler in rendering.of_kind("HorizontalPodAutoscaler"):
        for metric in scaler["spec"]["metrics"]:
            assert metric["type"] == "Resource" or metric["pods"]["metric"]["name"] in known


def metrics_are_found(rendering):
    for monitor in rendering.of_kind("ServiceMonitor"):
        labels = rendering.one("Service", "-admin")["metadata"]["labels"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
        others = [rendering.one("Service", ending)["metadata"]["labels"] for ending in ("", "-headless", "-webhooks")]
        assert not any(monitor["spec"]["selector"]["matchLabels"].items() <= other.items() for other in others)
        [endpoint] = monitor["spec"]["endpoints"]
        assert endpoint["port"] == "admin" and endpoint["path"] in service.admin_paths()


ALL = [
    kubernetes_takes_it,
    pods_are_restricted,
    a_drain_is_never_cut_off,
    probes_ask_what_they_mean,
    addresses_fit,
    one_replica_or_a_shared_store,
    no_secret_is_written,
    files_are_mounted_whole,
    only_webhooks_face_the_internet,
    safe_unless_told_otherwise,
    the_network_is_closed,
    replicas_are_spread,
    metrics_exist,
    metrics_are_found,
]
