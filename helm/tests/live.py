#!/usr/bin/env python3
"""What the pods of a release named t really do, for helm/cluster.sh. NAME is gateway or publisher.

  live.py rollout SPACE NAME MOST FEWEST PAUSE COMMAND…   COMMAND replaces every pod; at the worst moment there are exactly MOST, and
                                                          FEWEST ready; nothing old goes earlier than PAUSE seconds after something new is ready,
                                                          unless PAUSE is -
  live.py spread SPACE NAME COUNT…                        pods in each zone, the fullest first
  live.py waiting SPACE NAME COUNT                        pods that find no place because of the topology spread
  live.py endpoints SPACE NAME                            the clients' Service has the ready pods, and an unready or leaving one only for ops
  live.py evict SPACE NAME COUNT                          so many may be evicted at once, and the next one is refused
  live.py evict-unready SPACE NAME                        a pod that is not ready may go, when no ready one may
  live.py autoscaler SPACE NAME                           it finds its target, and says that there are no metrics
"""
import json
import os
import re
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

CONFIG = open(os.environ["KUBECONFIG"], encoding="utf-8").read()
SERVER = re.search(r'server: "([^"]+)"', CONFIG)[1]
TOKEN = re.search(r"token: (\w+)", CONFIG)[1]
ZONE = "topology.kubernetes.io/zone"


def call(path, body=None, method="GET", kind="application/json"):
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(SERVER + path, data=data, method=method, headers=headers)
    return urllib.request.urlopen(request, context=ssl._create_unverified_context(), timeout=300)


def get(path):
    return json.load(call(path))


def pods_path(space, name):
    return f"/api/v1/namespaces/{space}/pods?labelSelector=app.kubernetes.io/instance%3Dt,app.kubernetes.io/component%3D{name}"


def present(pod):
    return "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") not in ("Succeeded", "Failed")


def ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def pods(space, name):
    return [pod for pod in get(pods_path(space, name))["items"] if present(pod)]


def until(what, answer, seconds=60):
    """Waits until `answer` gives (true, …); its second value is told when it does not."""
    deadline = time.monotonic() + seconds
    while True:
        good, said = answer()
        if good:
            print(f"{what}: {said}")
            return
        if time.monotonic() > deadline:
            sys.exit(f"{what}: {said}, after {seconds} s")
        time.sleep(0.3)


# --- updates -------------------------------------------------------------------------------------------------------------

def rollout(space, name, most, fewest, pause, *command):
    first = get(pods_path(space, name))
    now = {pod["metadata"]["name"]: pod for pod in first["items"]}
    old = {key for key, pod in now.items() if present(pod)}
    counts, moments, over = [], {}, threading.Event()

    def look():
        there = [pod for pod in now.values() if present(pod)]
        counts.append((len(there), sum(ready(pod) for pod in there)))
        if any(ready(pod) for pod in there if pod["metadata"]["name"] not in old):
            moments.setdefault("ready", time.monotonic())
        if old - {pod["metadata"]["name"] for pod in there}:
            moments.setdefault("gone", time.monotonic())

    def follow():
        stream = call(f"{pods_path(space, name)}&watch=1&resourceVersion={first['metadata']['resourceVersion']}")
        for line in stream:
            event = json.loads(line)
            pod = event["object"]
            if event["type"] == "DELETED":
                now.pop(pod["metadata"]["name"], None)
            else:
                now[pod["metadata"]["name"]] = pod
            look()
            if over.is_set():
                return

    look()
    threading.Thread(target=follow, daemon=True).start()
    code = subprocess.run(command, check=False).returncode
    # Helm may be content with what the update may leave unavailable: it is over when nothing old is there.
    until("old pods", lambda: (not old & {pod["metadata"]["name"] for pod in pods(space, name)}, "gone"), 180)
    time.sleep(1)
    over.set()
    highest, lowest = max(there for there, _ in counts), min(able for _, able in counts)
    waited = moments.get("gone", 0) - moments.get("ready", 0)
    print(f"at most {highest} pods, at least {lowest} ready, the first old one left {waited:.1f} s after the first new one was ready")
    # Kubernetes counts in whole seconds.
    if code or highest != int(most) or lowest != int(fewest) or pause != "-" and waited < float(pause) - 1:
        sys.exit(f"expected: exit 0, {most} pods, {fewest} ready, {pause} s; the command's exit was {code}")


# --- places --------------------------------------------------------------------------------------------------------------

def spread(space, name, *wanted):
    zones = {node["metadata"]["name"]: node["metadata"]["labels"][ZONE] for node in get("/api/v1/nodes")["items"]}

    def answer():
        found = [zones[pod["spec"]["nodeName"]] for pod in pods(space, name) if ready(pod)]
        counts = sorted((found.count(zone) for zone in set(zones.values())), reverse=True)
        return counts == [int(count) for count in wanted], counts

    until("pods in each zone", answer)


def waiting(space, name, wanted):
    def answer():
        said = [c.get("message", "") for pod in pods(space, name) for c in pod["status"].get("conditions", [])
                if c["type"] == "PodScheduled" and c.get("reason") == "Unschedulable"]
        return len(said) == int(wanted) and all("topology spread" in text for text in said), said

    until("pods without a place", answer)


# --- endpoints -----------------------------------------------------------------------------------------------------------

def ready_addresses(space, service):
    slices = get(f"/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices?labelSelector=kubernetes.io/service-name%3D{service}")
    return {address for part in slices["items"] for point in part.get("endpoints") or [] if point["conditions"].get("ready")
            for address in point["addresses"]}


def unready(pod, wanted):
    place = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
    note = {"metadata": {"annotations": {"carillon.test/unready": "true" if wanted else None}}}
    call(place, note, "PATCH", "application/merge-patch+json")
    until("the pod", lambda: (ready(get(place)) != wanted, "is not ready" if wanted else "is ready"), 30)


def endpoints(space, name):
    service = f"t-carillon-{name}"

    def same(what, clients, ops):
        def answer():
            found = ready_addresses(space, service), ready_addresses(space, service + "-ops")
            return found == (clients, ops), f"{len(found[0])} for clients, {len(found[1])} for ops"
        until(what, answer, 30)

    there = pods(space, name)
    everyone = {pod["status"]["podIP"] for pod in there}
    chosen = there[0]
    own = {chosen["status"]["podIP"]}
    same("all are ready", everyone, everyone)
    unready(chosen, True)
    same("one is unready", everyone - own, everyone)
    unready(chosen, False)
    same("it is ready again", everyone, everyone)
    call(f"/api/v1/namespaces/{space}/pods/{chosen['metadata']['name']}", method="DELETE")

    def leaving():
        clients, ops = ready_addresses(space, service), ready_addresses(space, service + "-ops")
        return not own & clients and own <= ops, "leaves: not for clients, but for ops"
    until("a deleted pod", leaving, 30)
    until("its successor", lambda: (len(ready_addresses(space, service)) == len(there), "is there"))


# --- disruptions ---------------------------------------------------------------------------------------------------------

def evict(pod):
    """The answer's status, and what it says when that is a refusal."""
    name, space = pod["metadata"]["name"], pod["metadata"]["namespace"]
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": space}}
    try:
        return call(f"/api/v1/namespaces/{space}/pods/{name}/eviction", body, "POST").status, ""
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused).get("message")


def allowed(space, name, wanted):
    def answer():
        budget = get(f"/apis/policy/v1/namespaces/{space}/poddisruptionbudgets/t-carillon-{name}")
        found = budget["status"].get("disruptionsAllowed")
        # A pod that was just evicted must have a ready successor, else the number is of the moment before.
        whole = all(ready(pod) for pod in pods(space, name)) or wanted == 0
        return found == wanted and whole, found
    until("disruptions allowed", answer, 90)


def expect(status, said, wanted):
    print(f"eviction: {status} {said}")
    if status != wanted:
        sys.exit(f"expected {wanted}")


def evictions(space, name, count):
    allowed(space, name, int(count))
    there = pods(space, name)
    for pod in there[:int(count)]:
        expect(*evict(pod), 201)
    expect(*evict(there[int(count)]), 429)
    allowed(space, name, int(count))


def evict_unready(space, name):
    allowed(space, name, 1)
    there = pods(space, name)
    unready(there[0], True)
    allowed(space, name, 0)
    expect(*evict(there[1]), 429)
    expect(*evict(there[0]), 201)
    allowed(space, name, 1)


# --- autoscaling ---------------------------------------------------------------------------------------------------------

def autoscaler(space, name):
    def answer():
        status = get(f"/apis/autoscaling/v2/namespaces/{space}/horizontalpodautoscalers/t-carillon-{name}")["status"]
        said = {c["type"]: (c["status"], c["reason"]) for c in status.get("conditions") or []}
        found = said.get("AbleToScale", ("", ""))[0] == "True"
        metrics, why = said.get("ScalingActive", ("", ""))
        return found and metrics == "False" and re.fullmatch(r"FailedGet\w*Metric", why) is not None, said
    until("the autoscaler", answer, 90)


COMMANDS = {"rollout": rollout, "spread": spread, "waiting": waiting, "endpoints": endpoints, "evict": evictions,
            "evict-unready": evict_unready, "autoscaler": autoscaler}
if len(sys.argv) < 4 or sys.argv[1] not in COMMANDS:
    sys.exit(__doc__)
COMMANDS[sys.argv[1]](*sys.argv[2:])
