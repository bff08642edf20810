#!/usr/bin/env bash
# What do widely used JWKS clients do with key sets as providers publish them, and with a key renewed under its kid?
#
# Seen 2026-11-29, PyJWT 2.10.1 (PyJWKClient) and jose 6.0.10 (createRemoteJWKSet):
#   - a key renewed under the same kid is not fetched when its first token does not verify; everybody is out until the cache
#     ends (300 s, 600 s), with jose even with cooldownDuration 0;
#   - a kid that is a number in the set is never found by a token that has it as a text;
#   - jose finds no key where key_ops is [], as .NET's JsonWebKey writes it.
# And cloudevents 8.0.2 (JavaScript): HTTP.binary does not percent-encode an attribute, though the HTTP binding (3.1.3.2) asks for it.
#
# Needs node, npm, python3 with venv, and a package registry. Exits non-zero when something behaves differently.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
./venv/bin/pip install -q "PyJWT==2.10.1" "cryptography==44.0.2"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund jose@6.0.10 cloudevents@8.0.2 >/dev/null

cat > seen.py <<'PY'
import http.server, json, threading, time
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

body = b"{}"
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(body)
    def log_message(self, *_): pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"
old, new = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))

def publish(key, kid):
    global body
    body = json.dumps({"keys": [dict(json.loads(RSAAlgorithm.to_jwk(key.public_key())), kid=kid)]}).encode()

def attempt(client, key, kid):
    token = jwt.encode({"exp": int(time.time()) + 60}, key, "RS256", headers={"kid": kid})
    try:
        jwt.decode(token, client.get_signing_key_from_jwt(token).key, ["RS256"]); return "accepted"
    except Exception as error: return type(error).__name__

print("PyJWT", jwt.__version__)
publish(old, 7)
print("kid is a number in the set:", attempt(jwt.PyJWKClient(url), old, "7"))
publish(old, "sig-1"); client = jwt.PyJWKClient(url)
print("old key:", attempt(client, old, "sig-1"))
publish(new, "sig-1")
print("renewed under its kid:", attempt(client, new, "sig-1"))
PY

cat > seen.mjs <<'JS'
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import * as jose from "jose";
import { CloudEvent, HTTP } from "cloudevents";

const version = (name) => JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version;
let body = "{}", fetches = 0;
const server = createServer((_, answer) => { fetches++; answer.setHeader("content-type", "application/json"); answer.end(body); });
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const url = new URL(`http://127.0.0.1:${server.address().port}/`);
const [old, renewed] = [await jose.generateKeyPair("RS256", { extractable: true }), await jose.generateKeyPair("RS256", { extractable: true })];
const publish = async (pair, kid, more = {}) => { body = JSON.stringify({ keys: [{ ...(await jose.exportJWK(pair.publicKey)), kid, ...more }] }); };
const fresh = () => jose.createRemoteJWKSet(url, { cooldownDuration: 0 });
const attempt = async (set, pair, kid) => {
  const token = await new jose.SignJWT({}).setProtectedHeader({ alg: "RS256", kid }).setExpirationTime("1m").sign(pair.privateKey);
  try { await jose.jwtVerify(token, set); return "accepted"; } catch (error) { return error.code; }
};
console.log("jose", version("jose"));
await publish(old, 7);
console.log("kid is a number in the set:", await attempt(fresh(), old, "7"));
await publish(old, "sig-1", { key_ops: [] });
console.log("key_ops is []:", await attempt(fresh(), old, "sig-1"));
await publish(old, "sig-1");
const set = fresh();
console.log("old key:", await attempt(set, old, "sig-1"));
await publish(renewed, "sig-1");
const before = fetches;
console.log("renewed under its kid:", await attempt(set, renewed, "sig-1"), "fetches:", fetches - before);
console.log("cloudevents", version("cloudevents"));
const { headers } = HTTP.binary(new CloudEvent({ type: "t", source: "/s", subject: "Kovač", data: {} }));
console.log("ce-subject:", headers["ce-subject"]);
server.close();
JS

cat > expected <<'TEXT'
PyJWT 2.10.1
kid is a number in the set: PyJWKClientError
old key: accepted
renewed under its kid: InvalidSignatureError
jose 6.0.10
kid is a number in the set: ERR_JWKS_NO_MATCHING_KEY
key_ops is []: ERR_JWKS_NO_MATCHING_KEY
old key: accepted
renewed under its kid: ERR_JWS_SIGNATURE_VERIFICATION_FAILED fetches: 0
cloudevents 8.0.2
ce-subject: Kovač
TEXT
{ ./venv/bin/python seen.py; node seen.mjs; } | tee seen
diff expected seen && echo "as seen before"
