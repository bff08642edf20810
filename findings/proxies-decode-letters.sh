#!/usr/bin/env bash
# lighttpd 1.4.69, Apache 2.4.71, Envoy 1.40.0 (with normalize_path) and Traefik 3.7.13 send on `/a/%74est` as `/a/test`; HAProxy, nginx and
# Caddy send it as it came.
#
# Both are one path (RFC 3986, 6.2.2.2: a percent-encoded letter is that letter), so all of them are right, and a path that means something else
# when a letter of it is encoded works through some and not through others. Encoded braces, stars and slashes are another matter: each of
# them leaves `%7B` as it is.
#
# Runs lighttpd, nginx and HAProxy, which apt brings. Needs python3 and curl, too. Ends with 0 while this is so, else with 1.
set -euo pipefail

work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT
PATH=$PATH:/usr/sbin

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
behind=$(port) lighttpd=$(port) nginx=$(port) haproxy=$(port)

# Answers with the path as it came.
python3 - "$behind" <<'PYTHON' >/dev/null 2>&1 &
import http.server, sys
class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()
PYTHON
pids+=($!)

cat >"$work/lighttpd.conf" <<CONFIG
server.modules = ( "mod_proxy" )
server.document-root = "$work"
server.bind = "127.0.0.1"
server.port = $lighttpd
proxy.server = ( "" => ( ( "host" => "127.0.0.1", "port" => $behind ) ) )
CONFIG
lighttpd -D -f "$work/lighttpd.conf" >"$work/lighttpd.log" 2>&1 &
pids+=($!)
cat >"$work/nginx.conf" <<CONFIG
pid nginx.pid;
error_log stderr;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server { listen 127.0.0.1:$nginx; location / { proxy_pass http://127.0.0.1:$behind; } }
}
CONFIG
chmod 755 "$work"
nginx -p "$work/" -c "$work/nginx.conf" -g 'daemon off;' >"$work/nginx.log" 2>&1 &
pids+=($!)
cat >"$work/haproxy.cfg" <<CONFIG
defaults
  mode http
  timeout client 5s
  timeout connect 5s
  timeout server 5s
listen all
  bind 127.0.0.1:$haproxy
  server one 127.0.0.1:$behind
CONFIG
haproxy -db -f "$work/haproxy.cfg" >"$work/haproxy.log" 2>&1 &
pids+=($!)

seen() {
  for _ in $(seq 50); do
    if curl -sf "http://127.0.0.1:$1/a/%74est/%7Bx%7D"; then return; fi
    sleep 0.1
  done
}
seen "$behind" >/dev/null
through_lighttpd=$(seen "$lighttpd") through_nginx=$(seen "$nginx") through_haproxy=$(seen "$haproxy")
lighttpd -v | head -n 1
echo "/a/%74est/%7Bx%7D comes as $through_lighttpd through lighttpd, $through_nginx through nginx, $through_haproxy through HAProxy"
[ "$through_lighttpd" = '/a/test/%7Bx%7D' ] && [ "$through_nginx" = '/a/%74est/%7Bx%7D' ] && [ "$through_haproxy" = '/a/%74est/%7Bx%7D' ]
