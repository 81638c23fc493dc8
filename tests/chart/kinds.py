"""What Kubernetes takes: its own schemas, and those of the operators' kinds, as far as the chart uses them."""

import jsonschema
import kubernetes_validate

# The oldest that Chart.yaml names, and the newest that is known.
VERSIONS = ("1.27", kubernetes_validate.latest_version())

TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
DURATION = {"type": "string", "pattern": r"^(0|(([0-9]+)(ms|s|m|h|d|w|y))+)$"}


def strict(properties, required=(), **more):
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False, **more}


def kind(spec):
    metadata = strict({"name": TEXT, "namespace": TEXT, "labels": TEXTS, "annotations": TEXTS}, ["name"])
    return strict({"apiVersion": TEXT, "kind": TEXT, "metadata": metadata, "spec": spec}, ["apiVersion", "kind", "metadata", "spec"])


# monitoring.coreos.com/v1
SERVICE_MONITOR = kind(
    strict(
        {
            "selector": strict({"matchLabels": TEXTS}, ["matchLabels"]),
            "namespaceSelector": strict({"matchNames": {"type": "array", "items": TEXT}, "any": {"type": "boolean"}}),
            "endpoints": {
                "type": "array",
                "minItems": 1,
                "items": strict({"port": TEXT, "path": TEXT, "interval": DURATION, "scrapeTimeout": DURATION}, ["port"]),
            },
        },
        ["selector", "endpoints"],
    )
)
RULE = strict(
    {"alert": TEXT, "record": TEXT, "expr": TEXT, "for": DURATION, "keep_firing_for": DURATION, "labels": TEXTS, "annotations": TEXTS},
    ["expr"],
    oneOf=[{"required": ["alert"]}, {"required": ["record"]}],
)
PROMETHEUS_RULE = kind(
    strict(
        {
            "groups": {
                "type": "array",
                "minItems": 1,
                "items": strict(
                    {"name": TEXT, "interval": DURATION, "rules": {"type": "array", "minItems": 1, "items": RULE}}, ["name", "rules"]
                ),
            }
        },
        ["groups"],
    )
)
# external-secrets.io/v1
REMOTE = strict(
    {name: TEXT for name in ("key", "property", "version", "decodingStrategy", "conversionStrategy", "metadataPolicy")}, ["key"]
)
EXTERNAL_SECRET = kind(
    strict(
        {
            "refreshInterval": {"type": "string", "pattern": "^(0|([0-9]+(s|m|h))+)$"},
            "secretStoreRef": strict({"name": TEXT, "kind": {"enum": ["SecretStore", "ClusterSecretStore"]}}, ["name"]),
            "target": strict({"name": TEXT, "creationPolicy": {"enum": ["Owner", "Orphan", "Merge", "None"]}}),
            "data": {"type": "array", "items": strict({"secretKey": TEXT, "remoteRef": REMOTE}, ["secretKey", "remoteRef"])},
            "dataFrom": {"type": "array", "items": strict({"extract": REMOTE, "find": {"type": "object"}}, minProperties=1)},
        },
        ["secretStoreRef"],
    )
)

OPERATORS = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): SERVICE_MONITOR,
    ("monitoring.coreos.com/v1", "PrometheusRule"): PROMETHEUS_RULE,
    ("external-secrets.io/v1", "ExternalSecret"): EXTERNAL_SECRET,
}


def validate(an_object):
    """Raises `AssertionError` for what Kubernetes would refuse, fields that it does not know included."""
    where = f"{an_object['kind']} {an_object['metadata'].get('name')}"
    schema = OPERATORS.get((an_object["apiVersion"], an_object["kind"]))
    try:
        if schema:
            jsonschema.Draft202012Validator(schema).validate(an_object)
            return
        for version in VERSIONS:
            kubernetes_validate.validate(an_object, version, strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        raise AssertionError(f"{where}: {error.message} at {list(getattr(error, 'absolute_path', []))}") from error
