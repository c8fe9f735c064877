#!/bin/sh
# A certificate for www.example.com that nobody has signed, in the folder $1.
set -eu
umask 077
mkdir -p "$1"
cd "$1"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=www.example.com -addext subjectAltName=DNS:www.example.com -keyout privkey.pem -out fullchain.pem 2>/dev/null
cp fullchain.pem cert.pem
