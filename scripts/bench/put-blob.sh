#!/usr/bin/env bash
# Uploads one file as a blob with nothing but two requests of curl: put-blob.sh HOST:PORT/v2/REPOSITORY FILE
set -euo pipefail

location="$(curl -fsS -o /dev/null -D - -X POST "http://$1/blobs/uploads/" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')"
[[ "$location" != /* ]] || location="http://${1%%/*}$location"
if [[ "$location" == *\?* ]]; then location+='&'; else location+='?'; fi
curl -fsS -o /dev/null -H Expect: -T "$2" "${location}digest=sha256:${2##*/}"
