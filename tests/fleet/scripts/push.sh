#!/bin/sh
# certbot's deploy hook on the management host: copy the lineage out of live/, and bring it to every server on its list.
# push.sh LISTS STAGING TO, with RENEWED_LINEAGE of certbot's
lists=$1 staging=$2 to=$3
name=$(basename "$RENEWED_LINEAGE")
mkdir -p "$staging/$name"
cp -L "$RENEWED_LINEAGE"/*.pem "$staging/$name/"
while read -r host port; do
    rsync -az -e "ssh -p $port" "$staging/$name" "ssl@$host:$to/" </dev/null
done <"$lists/$name"
