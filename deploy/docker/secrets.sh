#!/bin/sh
# Makes the secrets of deploy/compose.yaml: passwords, keys and the addresses that contain them, one file each.
#
# A file that is there stays as it is, so this can run again after an update. The files can be read by everybody inside
# the folder, because a container's user is another than yours; the folder itself only by you.
set -eu
folder=${1:-$(dirname "$0")/../secrets}
umask 077
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

random() {
  head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}

# keep NAME: standard input becomes the file, unless there is one.
keep() {
  if [ -e "$1" ]; then
    cat >/dev/null
  else
    cat >"$1.draft"
    chmod 444 "$1.draft"
    mv "$1.draft" "$1"
  fi
}

for name in postgres_password postgres_password_publisher postgres_password_gateway \
  redis_password_publisher redis_password_gateway jwt_secret grafana_password; do
  random | keep "$name"
done

# Each service logs in as somebody who may only become its own role.
database() {
  printf 'postgres://%s:%s@postgres:5432/carillon' "$1" "$(cat "$2")"
}
database carillon postgres_password | keep database_url_migrate
database app_publisher postgres_password_publisher | keep database_url_publisher
database app_gateway postgres_password_gateway | keep database_url_gateway

redis() {
  printf 'redis://%s:%s@redis:6379' "$1" "$(cat "$2")"
}
redis publisher redis_password_publisher | keep redis_url_publisher
redis gateway redis_password_gateway | keep redis_url_gateway

keep redis_conf <<CONF
# Nothing is written to disk. Accounts may do what docs/OPERATIONS.md lists and nothing else.
bind * -::*
port 6379
save ""
appendonly no
# Whoever gives no password may ask whether the server lives.
user default on nopass resetkeys resetchannels -@all +ping
user publisher on >$(cat redis_password_publisher) resetkeys ~carillon:presence:* resetchannels &carillon:* -@all +hello +client +ping +publish +hget +hgetall +hscan
user gateway on >$(cat redis_password_gateway) ~carillon:nodes ~carillon:presence:* ~carillon:socketio:* resetchannels &carillon:* -@all +hello +client +ping +publish +subscribe +unsubscribe +multi +exec +hset +hget +hgetall +hscan +hdel +del +expire +hlen +eval
CONF
echo "$(pwd) is complete"
