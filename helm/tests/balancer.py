#!/usr/bin/env python3
"""Does the chart's balancer answer when nobody behind it can, and lead to who can?

    balancer.py RENDERED.yaml    runs HAProxy as the rendered Deployment says; the last line counts

In a network of its own (`unshare`), with a name server that knows as many pods as the test wants, and servers in the pods' places:
in a cluster of IPv4, in one of IPv6, and where the kernel has no IPv6.
"""

import ctypes
import fcntl
import json
import os
import platform
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
GATEWAY6, PUBLISHER6 = "fd00::2", "fd00::3"
# A name that is gone is kept for 30 s (`hold obsolete`).
PATIENCE = 90


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up, running
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        for address in (GATEWAY6, PUBLISHER6):
            request = struct.pack("=16sIi", socket.inet_pton(socket.AF_INET6, address), 128, socket.if_nametoindex("lo"))
            fcntl.ioctl(sock, 0x8916, request)  # SIOCSIFADDR


def without_ipv6():
    """Makes this process one of a kernel without IPv6: its sockets cannot be made (seccomp), and /proc does not speak of it."""
    libc = ctypes.CDLL(None)
    assert libc.unshare(0x00020000) == 0  # CLONE_NEWNS: what is mounted is this process's alone
    subprocess.run(["mount", "-t", "tmpfs", "none", "/proc"], check=True)
    number = {"x86_64": 41, "aarch64": 198}[platform.machine()]
    steps = [
        (0x20, 0, 0, 0),  # the number of the system call
        (0x15, 0, 3, number),  # socket?
        (0x20, 0, 0, 16),  # its first argument
        (0x15, 0, 1, socket.AF_INET6),
        (0x06, 0, 0, 0x00050000 | 97),  # EAFNOSUPPORT
        (0x06, 0, 0, 0x7FFF0000),  # allowed
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(held := ctypes.create_string_buffer(code)))
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, program) == 0 and held  # PR_SET_SECCOMP


class Names:
    """A name server: `addresses` says who has which; whoever is in none does not exist."""

    def __init__(self):
        self.addresses = {}
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.bind((address, 53))
            threading.Thread(target=self.serve, args=[sock], daemon=True).start()

    def serve(self, sock):
        while True:
            question, client = sock.recvfrom(4096)
            labels, at = [], 12
            while question[at]:
                labels.append(question[at + 1 : at + 1 + question[at]].decode())
                at += 1 + question[at]
            kind, asked = question[at + 1 : at + 3], question[12 : at + 5]
            known = self.addresses.get(".".join(labels))
            family, asks = (socket.AF_INET6, b"\0\x1c") if known and ":" in known else (socket.AF_INET, b"\0\1")
            answers = [socket.inet_pton(family, known)] if known and kind == asks else []
            head = question[:2] + (b"\x81\x80" if known else b"\x81\x83") + struct.pack(">HHHH", 1, len(answers), 0, 0)
            records = b"".join(b"\xc0\x0c" + kind + b"\0\1" + struct.pack(">IH", 1, len(address)) + address for address in answers)
            sock.sendto(head + asked + records, client)


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

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

        for port, handler in ((client, Client), (ops, Ops)):
            threading.Thread(target=Server((address, port), handler).serve_forever, daemon=True).start()


def ask(port, path, method="GET", source="127.0.0.1", headers=None):
    """Asks the balancer at the loopback address of the source's family."""
    connection = HTTPConnection("::1" if ":" in source else "127.0.0.1", port, timeout=10, source_address=(source, 0))
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
        for source in ("127.0.0.1", "::1"):
            assert ask(ops, "/livez", source=source)[0] == 200, "the balancer is there"
            assert ask(ops, "/readyz", source=source)[0] == 503, "gateways are not"
        problem(port, "/v1/events")
        problem(port, "/v1/poll")
        status, head, body = ask(port, "/v1/sse")
        assert status == 200 and head["content-type"] == "text/event-stream" and "\nretry: " in body, (status, head, body)
        status, head, _ = ask(port, "/v1/events", "OPTIONS", headers=[("Access-Control-Request-Headers", "authorization,x-any")])
        assert status == 200 and head["access-control-allow-headers"] == "authorization,x-any", (status, head)

    def pods_come():
        names.addresses.update(wanted)
        until("a gateway for /v1/ws", lambda: pod(port, "/v1/ws") == {"pod": "gateway", "from": ["127.0.0.1"]})
        until("a publisher", lambda: pod(port, "/v1/events")["pod"] == "publisher")
        assert ask(ops, "/readyz")[0] == 200

    def clients_come_over_both_families():
        assert pod(port, "/v1/ws", source="::1") == {"pod": "gateway", "from": ["::1"]}
        assert pod(port, "/v1/events", source="::1")["pod"] == "publisher"
        assert ask(ops, "/readyz", source="::1")[0] == 200

    def addresses_are_believed_of_balancers_alone():
        said = [("X-Forwarded-For", "203.0.113.7")]
        assert pod(port, "/v1/ws", headers=said)["from"] == ["127.0.0.1"]
        assert pod(port, "/v1/ws", source="127.0.0.9", headers=said)["from"] == ["203.0.113.7", "127.0.0.9"]
        assert pod(port, "/v1/ws", source="127.0.0.9")["from"] == ["127.0.0.9"]
        # Several lines are one list: none is lost of a balancer, all of anybody else.
        said = [("X-Forwarded-For", "203.0.113.7, 192.0.2.1"), ("X-Forwarded-For", "192.0.2.2")]
        for source in ("127.0.0.1", "::1"):
            assert pod(port, "/v1/ws", source=source, headers=said)["from"] == [source]
        for source in ("127.0.0.9", GATEWAY6):
            assert pod(port, "/v1/ws", source=source, headers=said)["from"] == [line for _, line in said] + [source]

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

    return [
        nobody_is_there,
        pods_come,
        clients_come_over_both_families,
        addresses_are_believed_of_balancers_alone,
        a_publisher_that_is_not_ready_still_says_why,
        pods_that_are_gone_are_nobody,
    ]


def checks_of_ipv6(port, ops, names, wanted):
    def pods_of_ipv6_come():
        names.addresses.update(wanted)
        until("a gateway for /v1/ws", lambda: pod(port, "/v1/ws", source="::1") == {"pod": "gateway", "from": ["::1"]})
        until("a publisher", lambda: pod(port, "/v1/events", source="::1")["pod"] == "publisher")
        assert ask(ops, "/readyz", source="::1")[0] == 200

    return [pods_of_ipv6_come]


def checks_without_ipv6(port, ops, names, wanted):
    def pods_come_where_the_kernel_has_no_ipv6():
        names.addresses.clear()
        names.addresses.update(wanted)
        until("a gateway for /v1/ws", lambda: pod(port, "/v1/ws") == {"pod": "gateway", "from": ["127.0.0.1"]})
        assert ask(ops, "/readyz")[0] == 200
        with socket.socket(socket.AF_INET6) as probe:
            assert probe.connect_ex(("::1", port)) != 0, "it has none"

    return [pods_come_where_the_kernel_has_no_ipv6]


class Balancer:
    """HAProxy as the rendered Deployment says, with the name server at an address."""

    def __init__(self, text, container, name_server, before=None):
        self.text, self.container, self.name_server, self.before = text, container, name_server, before

    def __enter__(self):
        self.place = tempfile.TemporaryDirectory()
        folder = self.place.name
        file, resolver = Path(folder, "haproxy.cfg"), Path(folder, "resolv.conf")
        file.write_text(self.text)
        resolver.write_text(f"nameserver {self.name_server}\n")
        subprocess.run(["mount", "--bind", resolver, os.path.realpath("/etc/resolv.conf")], check=True)
        # The image's command, on this machine's HAProxy.
        command = [str(file) if word.endswith("/haproxy.cfg") else word for word in self.container["args"]]
        variables = {variable["name"]: variable["value"] for variable in self.container["env"]}
        variables |= {"CARILLON_LB_ADMIN": f"{folder}/admin.sock", "CARILLON_LB_MAXCONN": "1000"}
        self.log = open(Path(folder, "log"), "w+")
        self.program = subprocess.Popen(command, env=os.environ | variables, stdout=self.log, stderr=self.log, preexec_fn=self.before)
        return self

    def listens(self, port):
        if self.program.poll() is not None:
            self.log.seek(0)
            raise AssertionError(self.log.read())
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def __exit__(self, *_):
        self.program.terminate()
        self.program.wait()
        self.log.close()
        subprocess.run(["umount", os.path.realpath("/etc/resolv.conf")], check=False)
        self.place.cleanup()


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
    loopback_up()
    names = Names()
    pods, wanted, wanted6 = [], {}, {}
    for kind, servers, address, address6 in (("gateway", "CARILLON_GATEWAY", GATEWAY, GATEWAY6), ("publisher", "CARILLON_PUBLISHER", PUBLISHER, PUBLISHER6)):
        name, client = variables[f"{servers}S"].split(":")
        wanted[name], wanted6[name] = address, address6
        pods.append(Pod(kind, address, int(client), int(variables[f"{servers}_OPS_PORT"])))
        Pod(kind, address6, int(client), int(variables[f"{servers}_OPS_PORT"]))
    passed = failed = 0
    places = (ports["client"], ports["ops"], names)
    for name_server, before, list_of in (
        ("127.0.0.1", None, lambda: checks(*places, *pods, wanted)),
        ("::1", None, lambda: checks_of_ipv6(*places, wanted6)),
        ("127.0.0.1", without_ipv6, lambda: checks_without_ipv6(*places, wanted)),
    ):
        for each in pods:
            each.ready = True
        with Balancer(text, container, name_server, before) as balancer:
            until("HAProxy listens", lambda: balancer.listens(ports["ops"]))
            for check in list_of():
                try:
                    check()
                    passed += 1
                    print(f"ok       {check.__name__.replace('_', ' ')}")
                except (AssertionError, OSError, KeyError, ValueError) as fault:
                    failed += 1
                    print(f"FAILED   {check.__name__.replace('_', ' ')}: {fault!r}")
    # The twin: HAProxy alone, which takes no look at the kernel.
    blind = container | {"args": ["haproxy", "-W", "-db", "-f", "/haproxy.cfg"]}
    with Balancer(text, blind, "127.0.0.1", without_ipv6) as balancer:
        try:
            until("its end", lambda: balancer.listens(ports["ops"]))
            failed += 1
            print("FAILED   without a look at the kernel HAProxy starts, too")
        except AssertionError as fault:
            known = "Address family not supported" in str(fault)
            passed, failed = passed + known, failed + (not known)
            print("ok       without a look at the kernel HAProxy does not start" if known else f"FAILED   {fault}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if "CARILLON_ALONE" not in os.environ:
        own = ["unshare", "--mount", "--net"] + ([] if os.getuid() == 0 else ["--map-root-user"])
        os.execvpe("unshare", [*own, sys.executable, *sys.argv], os.environ | {"CARILLON_ALONE": "yes"})
    sys.exit(main(sys.argv[1]))
