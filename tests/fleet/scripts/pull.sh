#!/bin/sh
# Every server runs this from cron: is anything at the master different? Then fetch it, and tell the container.
# pull.sh FROM TO PORT COMMAND…
from=$1 to=$2 port=$3
shift 3
if rsync --dry-run -azci -e "ssh -p $port" "$from/" "$to/" | grep -q '^>'; then
    echo "something is new"
    rsync -azc -e "ssh -p $port" "$from/" "$to/"
    "$@"
    echo "fetched, and told"
else
    echo "nothing is new"
fi
