#!/usr/bin/env python3
"""What must hold for everything the chart renders, whatever the values? Schemas cannot say it, so this does.

    rendered.py FILE…    each file is one rendering; the last line counts the rules that held in all of them

Every rule is a generator of faults over the objects of one rendering.
"""

import re
import sys
from pathlib import Path

import yaml

RULES = []

# What a secret would look like in a manifest, in any field.
SECRET_VALUES = re.compile(
    r"(postgres(ql)?|rediss?|valkeys?)://\S+|PRIVATE KEY|crln_[0-9a-f]+_\w+|\beyJ[\w-]+\.[\w-]+\.|://[^/\s:@]+:[^/\s@]+@", re.I
)
SECRET_NAMES = re.compile(r"^(DATABASE_URL|REDIS_URL|\w*(SECRET|TOKEN|PASSWORD)\w*)(?<!_FILE)$")
NOT_SECRET = {"CARILLON_QUERY_TOKEN"}


def rule(check):
    RULES.append(check)
    return check


class Rendering:
    """The objects of one file."""

    def __init__(self, path):
        self.path = path
        documents = yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader)
        self.objects = [document for document in documents if document]

    def kinds(self, *kinds):
        return [item for item in self.objects if item["kind"] in kinds]

    def pods(self):
        """(name, labels, spec) of all that becomes a pod."""
        for item in self.objects:
            if item["kind"] == "Pod":
                yield item["metadata"]["name"], item["metadata"]["labels"], item["spec"]
            elif item["kind"] in ("Deployment", "Job"):
                template = item["spec"]["template"]
                yield item["metadata"]["name"], template["metadata"]["labels"], template["spec"]

    def containers(self):
        for name, _, spec in self.pods():
            for container in spec.get("initContainers", []) + spec["containers"]:
                yield f"{name}/{container['name']}", container

    def texts(self):
        """(object, text) of every string in every object."""

        def within(value):
            if isinstance(value, dict):
                for key, inner in value.items():
                    yield str(key)
                    yield from within(inner)
            elif isinstance(value, list):
                for inner in value:
                    yield from within(inner)
            elif isinstance(value, str):
                yield value

        for item in self.objects:
            for text in within(item):
                yield f"{item['kind']}/{item['metadata']['name']}", text


def ours(name):
    """Containers that people add themselves are theirs to confine."""
    return name.split("/")[1] in ("gateway", "publisher", "balancer", "migrate", "probe")


def selects(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


def listening(value):
    """The port of a variable that says where to listen, on every address of both families; else what it says."""
    addresses = [address.rsplit(":", 1) for address in value.removesuffix(" v6only").split(",")]
    hosts, ports = [host for host, _ in addresses], {port for _, port in addresses}
    return ports.pop() if hosts in (["[::]"], ["", "::"]) and len(ports) == 1 else value


@rule
def no_secret_is_made_and_none_is_shown(rendering):
    for item in rendering.kinds("Secret"):
        yield f"Secret/{item['metadata']['name']}"
    for where, text in rendering.texts():
        # Rules and dashboards speak of secrets, but of none that is one.
        if match := SECRET_VALUES.search(text):
            yield f"{where} says {match[0]}"


@rule
def secret_variables_come_from_secrets(rendering):
    for name, container in rendering.containers():
        for variable in container.get("env", []):
            if SECRET_NAMES.match(variable["name"]) and variable["name"] not in NOT_SECRET and "value" in variable:
                yield f"{name} has {variable['name']} by value"


@rule
def pods_are_restricted(rendering):
    for name, _, spec in rendering.pods():
        context = spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{name} may be root or has no seccomp profile"
        for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(forbidden):
                yield f"{name} has {forbidden}"
        for volume in spec.get("volumes", []):
            kind = next(key for key in volume if key != "name")
            if kind not in ("configMap", "secret", "projected", "emptyDir", "downwardAPI", "csi", "persistentVolumeClaim", "ephemeral"):
                yield f"{name} mounts {kind}"
    for name, container in rendering.containers():
        context = container.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False or "ALL" not in context.get("capabilities", {}).get("drop", []):
            yield f"{name} keeps privileges"
        if context.get("privileged") or context.get("capabilities", {}).get("add"):
            yield f"{name} gains privileges"
        if ours(name) and context.get("readOnlyRootFilesystem") is not True:
            yield f"{name} can write to its root"


@rule
def nobody_has_a_token_of_the_kubernetes_api(rendering):
    for name, _, spec in rendering.pods():
        if spec.get("automountServiceAccountToken") is not False:
            yield name
    for item in rendering.kinds("ServiceAccount"):
        if item.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount/{item['metadata']['name']}"


@rule
def service_links_are_off(rendering):
    for name, _, spec in rendering.pods():
        if spec.get("enableServiceLinks") is not False:
            yield name


@rule
def variables_are_set_once_and_never_empty(rendering):
    for name, container in rendering.containers():
        seen = set()
        for variable in container.get("env", []):
            if variable["name"] in seen:
                yield f"{name} has {variable['name']} twice"
            seen.add(variable["name"])
            if variable.get("value", "x") == "":
                yield f"{name} has an empty {variable['name']}"
            if not isinstance(variable.get("value", ""), str):
                yield f"{name}: {variable['name']} is no text"
            if re.search(r"\d[eE]\+", variable.get("value", "")):
                yield f"{name}: {variable['name']} is {variable['value']}"


@rule
def a_secret_is_not_both_a_variable_and_a_file(rendering):
    for name, container in rendering.containers():
        names = {variable["name"] for variable in container.get("env", [])}
        for variable in names:
            if f"{variable}_FILE" in names:
                yield f"{name} has {variable} and {variable}_FILE"


@rule
def the_grace_period_holds_the_drain(rendering):
    for item in rendering.kinds("Deployment"):
        spec = item["spec"]["template"]["spec"]
        container = spec["containers"][0]
        milliseconds = {v["name"]: int(v["value"]) for v in container["env"] if v["name"].startswith("CARILLON_DRAIN_") and v["name"].endswith("MS")}
        pre_stop = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        needed = pre_stop + sum(milliseconds.values()) / 1000 + 5
        if spec["terminationGracePeriodSeconds"] < needed:
            yield f"{item['metadata']['name']} has {spec['terminationGracePeriodSeconds']} s for {needed}"


@rule
def probes_use_the_ops_port_and_differ(rendering):
    for item in rendering.kinds("Deployment"):
        container = item["spec"]["template"]["spec"]["containers"][0]
        probes = [container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")]
        for probe in probes:
            if probe["httpGet"]["port"] != "ops":
                yield f"{item['metadata']['name']} is probed on {probe['httpGet']['port']}"
        if probes[1] == probes[2] or probes[0] == probes[2]:
            yield f"{item['metadata']['name']} has two probes that are one"
        # A balancer's /readyz says whether there is a gateway: without one it is the balancer that answers.
        ready = "/livez" if container["name"] == "balancer" else "/readyz"
        if [probe["httpGet"]["path"] for probe in probes] != ["/livez", ready, "/livez"]:
            yield f"{item['metadata']['name']} is probed for the wrong thing"


@rule
def selectors_find_exactly_their_pods(rendering):
    pods = list(rendering.pods())
    for item in rendering.objects:
        spec = item.get("spec", {})
        if item["kind"] == "Service":
            selector = spec["selector"]
        elif item["kind"] in ("Deployment", "PodDisruptionBudget", "PodMonitor"):
            selector = spec["selector"]["matchLabels"]
        elif item["kind"] == "NetworkPolicy":
            selector = spec["podSelector"]["matchLabels"]
        else:
            continue
        found = [name for name, labels, _ in pods if selects(selector, labels)]
        if len(found) != 1:
            yield f"{item['kind']}/{item['metadata']['name']} finds {found}"


@rule
def ports_lead_to_containers(rendering):
    pods = list(rendering.pods())

    def named(selector):
        for _, labels, spec in pods:
            if selects(selector, labels):
                return {port["name"]: port["containerPort"] for port in spec["containers"][0].get("ports", [])}
        return {}

    for item in rendering.kinds("Service"):
        for port in item["spec"]["ports"]:
            if port["targetPort"] not in named(item["spec"]["selector"]):
                yield f"Service/{item['metadata']['name']} leads to {port['targetPort']}"
    for item in rendering.kinds("PodMonitor"):
        for endpoint in item["spec"]["podMetricsEndpoints"]:
            if endpoint["port"] not in named(item["spec"]["selector"]["matchLabels"]):
                yield f"PodMonitor/{item['metadata']['name']} scrapes {endpoint['port']}"
    for item in rendering.kinds("NetworkPolicy"):
        numbers = set(named(item["spec"]["podSelector"]["matchLabels"]).values())
        allowed = {port["port"] for entry in item["spec"].get("ingress", []) for port in entry["ports"]}
        if allowed != numbers:
            yield f"NetworkPolicy/{item['metadata']['name']} opens {allowed} of {numbers}"
    for name, container in rendering.containers():
        numbers = [port["containerPort"] for port in container.get("ports", [])]
        listens = [listening(v["value"]) for v in container.get("env", []) if v["name"].endswith(("_LISTEN", "_LB_BIND", "_LB_OPS"))]
        if ours(name) and sorted(map(str, numbers)) != sorted(listens):
            yield f"{name} declares {numbers} and listens on {listens}"


@rule
def ops_is_never_routed(rendering):
    services = {item["metadata"]["name"]: item["spec"] for item in rendering.kinds("Service")}
    public = {name for name, spec in services.items() if not any(port["targetPort"] == "ops" for port in spec["ports"])}
    for name, spec in services.items():
        if name not in public and spec["type"] != "ClusterIP":
            yield f"Service/{name} shows ops outside"
    for item in rendering.kinds("Ingress"):
        for entry in item["spec"]["rules"]:
            for path in entry["http"]["paths"]:
                service = path["backend"]["service"]
                if service["name"] not in public or service["port"] != {"name": "http"}:
                    yield f"Ingress leads {path['path']} to {service}"
    for item in rendering.kinds("HTTPRoute"):
        for entry in item["spec"]["rules"]:
            for backend in entry["backendRefs"]:
                ports = [port["port"] for port in services.get(backend["name"], {}).get("ports", []) if port["name"] == "http"]
                if backend["name"] not in public or backend["port"] not in ports:
                    yield f"HTTPRoute leads to {backend}"


@rule
def autoscaled_deployments_say_no_number(rendering):
    scaled = {item["spec"]["scaleTargetRef"]["name"] for item in rendering.kinds("HorizontalPodAutoscaler", "ScaledObject")}
    deployments = {item["metadata"]["name"]: item["spec"] for item in rendering.kinds("Deployment")}
    for name in scaled - set(deployments):
        yield f"{name} is scaled and does not exist"
    for name, spec in deployments.items():
        if ("replicas" in spec) == (name in scaled):
            yield f"{name}: replicas and autoscaler"


@rule
def mounts_have_volumes_and_accounts_exist(rendering):
    accounts = {item["metadata"]["name"] for item in rendering.kinds("ServiceAccount")} | {"default", "shared"}
    for name, _, spec in rendering.pods():
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        if len(volumes) != len(spec.get("volumes", [])):
            yield f"{name} has two volumes of one name"
        mounted = {mount["name"] for container in spec.get("initContainers", []) + spec["containers"] for mount in container.get("volumeMounts", [])}
        if volumes != mounted:
            yield f"{name} has volumes {sorted(volumes)} and mounts {sorted(mounted)}"
        if spec.get("serviceAccountName", "default") not in accounts:
            yield f"{name} runs as {spec['serviceAccountName']}"


@rule
def names_are_unique_and_short(rendering):
    seen = set()
    for item in rendering.objects:
        key = item["kind"], item["metadata"]["name"]
        if key in seen:
            yield f"{key} twice"
        seen.add(key)
        if len(item["metadata"]["name"]) > 63:
            yield f"{key} is too long"
        if "metadata" in item and not item["metadata"].get("labels") and item["kind"] != "ConfigMap":
            yield f"{key} has no labels"


def main():
    renderings = [Rendering(Path(path)) for path in sys.argv[1:]]
    failed = 0
    for check in RULES:
        faults = [f"{rendering.path.parent.name}/{rendering.path.stem}: {fault}" for rendering in renderings for fault in check(rendering)]
        print(f"{'FAILED' if faults else 'ok':8} {check.__name__.replace('_', ' ')}")
        for fault in sorted(set(faults))[:20]:
            print(f"           {fault}")
        failed += bool(faults)
    print(f"{len(RULES) - failed} passed, {failed} failed, in {len(renderings)} renderings")
    return 1 if failed or not renderings else 0


sys.exit(main())
