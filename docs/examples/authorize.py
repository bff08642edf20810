# An application that is asked where a channel rule says `ask`: python3 authorize.py whsec_… [port]
import base64, hashlib, hmac, json, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

secret = base64.b64decode(sys.argv[1].removeprefix("whsec_"))

def is_signed(headers, body):
    sent, signed = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(time.time() - int(signed)) > 300:
        return False
    digest = hmac.digest(secret, f"{sent}.{signed}.".encode() + body, hashlib.sha256)
    ours = "v1," + base64.b64encode(digest).decode()
    return any(hmac.compare_digest(one, ours) for one in headers["webhook-signature"].split(" "))

class Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if not is_signed(self.headers, body):
            return self.answer(401, {})
        question = json.loads(body)
        # Yours looks into its own database.
        allow = question["channel"] == f"order:{question['user']}" and question["action"] == "subscribe"
        self.answer(200, {"allow": allow, "ttl": 300})

    def answer(self, status, value):
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 4000), Application).serve_forever()
