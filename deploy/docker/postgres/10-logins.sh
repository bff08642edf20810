#!/bin/sh
# The services' logins, made with the database itself: Postgres's image runs this once, when its volume is empty.
#
# They may do nothing but become the role of their service, which `carillon-publisher migrate` gives its rights. The roles
# are made here in the same way as there, so that the logins can be members before the first migration.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\set publisher_password `cat /run/secrets/postgres_password_publisher`
\set gateway_password `cat /run/secrets/postgres_password_gateway`
CREATE ROLE carillon_publisher NOLOGIN NOINHERIT;
CREATE ROLE carillon_gateway NOLOGIN NOINHERIT;
CREATE ROLE app_publisher LOGIN NOINHERIT PASSWORD :'publisher_password' IN ROLE carillon_publisher;
CREATE ROLE app_gateway LOGIN NOINHERIT PASSWORD :'gateway_password' IN ROLE carillon_gateway;
SQL
