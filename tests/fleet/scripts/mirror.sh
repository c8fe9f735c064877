#!/bin/sh
# A mirror, started by the signal of its upstream: fetch, have the service told, signal those below. One at a time, by a lock file.
# mirror.sh FROM PORT TO BELOW COMMAND…; FROM is - at the origin, and BELOW has a host and a port in each line
from=$1 port=$2 to=$3 below=$4
shift 4
mkdir "$HOME/lock" 2>/dev/null || exit 0
trap 'rmdir "$HOME/lock"' EXIT
if [ "$from" != - ]; then
    rsync -az --delete -e "ssh -p $port" "$from/" "$to/"
fi
"$@"
while read -r host port; do
    echo "signalling $host"
    ssh -p "$port" -o IdentitiesOnly=yes -i "$HOME/.ssh/signal" "ushio@$host" sleep 1 </dev/null
done <"$below"
