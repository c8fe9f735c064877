#!/bin/sh
# Each server runs this once a day: what was brought goes to where nginx reads it, and nginx is started again.
# take.sh LIST FROM TO COMMAND…
list=$1 from=$2 to=$3
shift 3
while read -r name; do
    mkdir -p "$to/$name"
    mv "$from/$name"/*.pem "$to/$name/"
done <"$list"
"$@"
