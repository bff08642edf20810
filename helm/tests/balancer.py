#!/usr/bin/env python3
"""Does the chart's balancer answer when nobody behind it can, and lead to who can?

    balancer.py RENDERED.yaml    runs HAProxy as the rendered Deployment says; the last line counts

In a network of its own (`unshare`), with a name server that knows as many pods as the test wants, and servers in the pods' places.
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

GATEWAY, PUBLISHER = "127.0.0.2", "127.0.0.3"
# A name that is gone is kept for 30 s (`hold obsolete`).
PATIENCE = 90


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up, running


class Names:
    """A name server: `addresses` says who has which; whoever is in none does not exist."""

    def __init__(self):
        self.addresses = {}
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            question, client = self.sock.recvfrom(4096)
            labels, at = [], 12
            while question[at]:
                labels.append(question[at + 1 : at + 1 + question[at]].decode())
                at += 1 + question[at]
            kind, asked = question[at + 1 : at + 3], question[12 : at + 5]
            known = self.addresses.get(".".join(labels))
            answers = [known] if known and kind == b"\0\1" else []
            head = question[:2] + (b"\x81\x80" if known else b"\x81\x83") + struct.pack(">HHHH", 1, len(answers), 0, 0)
            records = b"".join(b"\xc0\x0c\0\1\0\1" + struct.pack(">IH", 1, 4) + socket.inet_aton(address) for address in answers)
            self.sock.sendto(head + asked + records, client)


class Pod:
    """What stands in a pod's place: it says who it is, and what it was told of the client's address."""

    def __init__(self, name, address, client, ops):
        self.ready = True
        pod = self

        class Client(BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps({"pod": name, "from": self.headers.get_all("X-Forwarded-For")}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Ops(Client):
            def do_GET(self):
                self.send_response(200 if self.path == "/livez" or pod.ready else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

        for port, handler in ((client, Client), (ops, Ops)):
            threading.Thread(target=ThreadingHTTPServer((address, port), handler).serve_forever, daemon=True).start()


def ask(port, path, method="GET", source="127.0.0.1", headers=None):
    connection = HTTPConnection("127.0.0.1", port, timeout=10, source_address=(source, 0))
    connection.putrequest(method, path)
    for line in headers or []:
        connection.putheader(*line)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read().decode()


def until(what, holds):
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE} s: {what}")
        time.sleep(0.05)


def problem(port, path):
    status, head, body = ask(port, path)
    assert status == 503 and head["content-type"] == "application/problem+json", (status, head)
    assert head["retry-after"] == "1" and head["access-control-allow-origin"] == "*", head
    assert json.loads(body)["code"] == "unavailable", body


def pod(port, path, **more):
    status, _, body = ask(port, path, **more)
    return json.loads(body) if status == 200 and body.startswith("{") else {"pod": status}


def checks(port, ops, names, gateway, publisher, wanted):
    def nobody_is_there():
        problem(port, "/v1/events")
        problem(port, "/v1/poll")
        status, head, body = ask(port, "/v1/sse")
        assert status == 200 and head["content-type"] == "text/event-stream" and "\nretry: " in body, (status, head, body)
        status, head, _ = ask(port, "/v1/events", "OPTIONS", headers=[("Access-Control-Request-Headers", "authorization,x-any")])
        assert status == 200 and head["access-control-allow-headers"] == "authorization,x-any", (status, head)
        assert ask(ops, "/livez")[0] == 200 and ask(ops, "/readyz")[0] == 503, "the balancer is there, gateways are not"

    def pods_come():
        names.addresses.update(wanted)
        until("a gateway for /v1/ws", lambda: pod(port, "/v1/ws") == {"pod": "gateway", "from": ["127.0.0.1"]})
        until("a publisher", lambda: pod(port, "/v1/events")["pod"] == "publisher")
        assert ask(ops, "/readyz")[0] == 200

    def addresses_are_believed_of_balancers_alone():
        said = [("X-Forwarded-For", "203.0.113.7")]
        assert pod(port, "/v1/ws", headers=said)["from"] == ["127.0.0.1"]
        assert pod(port, "/v1/ws", source="127.0.0.9", headers=said)["from"] == ["203.0.113.7", "127.0.0.9"]
        assert pod(port, "/v1/ws", source="127.0.0.9")["from"] == ["127.0.0.9"]
        # Several lines are one list: none is lost of a balancer, all of anybody else.
        said = [("X-Forwarded-For", "203.0.113.7, 192.0.2.1"), ("X-Forwarded-For", "192.0.2.2")]
        assert pod(port, "/v1/ws", headers=said)["from"] == ["127.0.0.1"]
        assert pod(port, "/v1/ws", source="127.0.0.9", headers=said)["from"] == [line for _, line in said] + ["127.0.0.9"]

    def a_publisher_that_is_not_ready_still_says_why():
        publisher.ready = gateway.ready = False
        until("no gateway", lambda: ask(ops, "/readyz")[0] == 503)
        problem(port, "/v1/ws")
        for _ in range(20):
            assert pod(port, "/docs")["pod"] == "publisher"

    def pods_that_are_gone_are_nobody():
        names.addresses.clear()
        until("nobody", lambda: pod(port, "/v1/events")["pod"] == 503)
        nobody_is_there()

    return [nobody_is_there, pods_come, addresses_are_believed_of_balancers_alone, a_publisher_that_is_not_ready_still_says_why, pods_that_are_gone_are_nobody]


def main(rendered):
    objects = [item for item in yaml.safe_load_all(Path(rendered).read_text()) if item]
    (text,) = (item["data"]["haproxy.cfg"] for item in objects if item["kind"] == "ConfigMap" and "haproxy.cfg" in item["data"])
    (container,) = (
        container
        for item in objects
        if item["kind"] == "Deployment"
        for container in item["spec"]["template"]["spec"]["containers"]
        if container["name"] == "balancer"
    )
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    places = {}
    for address, servers in ((GATEWAY, "CARILLON_GATEWAY"), (PUBLISHER, "CARILLON_PUBLISHER")):
        name, client = variables[f"{servers}S"].split(":")
        places[name] = (address, int(client), int(variables[f"{servers}_OPS_PORT"]))
    loopback_up()
    names = Names()
    pods = [Pod(kind, *place) for kind, place in zip(("gateway", "publisher"), places.values(), strict=True)]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        file, resolver = Path(folder, "haproxy.cfg"), Path(folder, "resolv.conf")
        file.write_text(text)
        resolver.write_text("nameserver 127.0.0.1\n")
        subprocess.run(["mount", "--bind", resolver, os.path.realpath("/etc/resolv.conf")], check=True)
        # The image's command, on this machine's HAProxy.
        command = [str(file) if word.endswith("haproxy.cfg") else word for word in container["args"]]
        with open(Path(folder, "log"), "w+") as log:
            program = subprocess.Popen(command, env=os.environ | variables | {"CARILLON_LB_ADMIN": f"{folder}/admin.sock", "CARILLON_LB_MAXCONN": "1000"}, stdout=log, stderr=log)
            try:
                def listens():
                    assert program.poll() is None, Path(folder, "log").read_text()
                    with socket.socket() as probe:
                        return probe.connect_ex(("127.0.0.1", ports["ops"])) == 0

                until("HAProxy listens", listens)
                wanted = {name: place[0] for name, place in places.items()}
                for check in checks(ports["client"], ports["ops"], names, *pods, wanted):
                    try:
                        check()
                        print(f"ok       {check.__name__.replace('_', ' ')}")
                    except (AssertionError, OSError, KeyError, ValueError) as fault:
                        failed += 1
                        print(f"FAILED   {check.__name__.replace('_', ' ')}: {fault!r}")
            finally:
                program.terminate()
                program.wait()
                subprocess.run(["umount", os.path.realpath("/etc/resolv.conf")], check=False)
    print(f"{5 - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if "CARILLON_ALONE" not in os.environ:
        own = ["unshare", "--mount", "--net"] + ([] if os.getuid() == 0 else ["--map-root-user"])
        os.execvpe("unshare", [*own, sys.executable, *sys.argv], os.environ | {"CARILLON_ALONE": "yes"})
    sys.exit(main(sys.argv[1]))
