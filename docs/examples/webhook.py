# Receives webhooks: python3 webhook.py whsec_… [port]
import base64, hashlib, hmac, json, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

key = base64.b64decode(sys.argv[1].removeprefix("whsec_"))

class Receiver(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

    def do_POST(self):
        body, get = self.rfile.read(int(self.headers["content-length"])), lambda name: self.headers.get("webhook-" + name, "0")
        ours = "v1," + base64.b64encode(hmac.digest(key, f"{get('id')}.{get('timestamp')}.".encode() + body, hashlib.sha256)).decode()
        is_signed = any(hmac.compare_digest(one, ours) for one in get("signature").split(" "))
        is_right = is_signed and abs(time.time() - int(get("timestamp"))) < 300
        self.send_response(200 if is_right else 401)
        self.send_header("content-length", "0")
        self.end_headers()
        if is_right:
            event = json.loads(body)
            print(event.get("sequence", "-"), event["type"], json.dumps(event["data"]), flush=True)  # Yours does its work, once for each webhook-id.

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 4001), Receiver).serve_forever()
