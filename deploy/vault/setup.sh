#!/bin/sh
# Sets up a Vault or OpenBao for Keyturn with the policies beside this file and nothing more, and prints the file that KEYTURN_BACK_ENDS
# names. May be run again: what is left out then is taken away.
#
#   BAO_ADDR=… BAO_TOKEN=… ./setup.sh OUT [KEY…]        (or VAULT_ADDR, VAULT_TOKEN; a token that may write policies and mounts)
#
# OUT is a folder for the two secret ids (mode 0600). KEY… are the names of transit keys. Beside them, or in their place:
#
#   KV_SECRETS="payments/hmac orders/webhook:paths"     secrets of KV v2, each with its layout: document (where none is said), paths,
#                                                       fields or single; KV=secret is their mount
#   PAIRS="app-blue/app-green"                          pairs of database static roles; DATABASE=database is their mount. The connection
#                                                       and the roles are yours to make
#   DB_CONNECTION=main DB_HOST=… DB_PORT=5432 DB_NAME=… DB_CA_FILE=…
#                                                       where the probe logs in: the server's name of the connection, and the database
#
# The settings below are taken from the environment where it has them.
set -eu
usage() {
  sed -n '2,/^set -eu/{/^#/p;}' "$0"
  exit 2
}
[ $# -ge 1 ] || usage
out=$1
shift
name=${NAME:-keyturn}
transit=${TRANSIT:-transit}
documents=${DOCUMENTS:-keyturn}
folder=${FOLDER:-objects}
kv=${KV:-secret}
secrets=${KV_SECRETS:-}
database=${DATABASE:-database}
pairs=${PAIRS:-}
[ $# -gt 0 ] || [ -n "$secrets$pairs" ] || usage
if [ -n "$pairs" ]; then
  : "${DB_HOST:?where the probe logs in, such as db.example.com}" "${DB_NAME:?a database that the users of the pairs may connect to}"
fi
cli=${CLI:-$(command -v bao || command -v vault)}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

fill() { # FILE [KEY]
  canary=$(printf 'keyturn canary\n%s/keys/%s' "$transit" "${2-}" | openssl dgst -sha256 -binary | openssl base64 -A)
  sed -e "s|TRANSIT|$transit|g" -e "s|DOCUMENTS|$documents|g" -e "s|FOLDER|$folder|g" -e "s|NAME|$name|g" \
    -e "s|KEY|${2-}|g" -e "s|CANARY|$canary|g" "$here/$1"
}
# The files of KV are written for the folder app/ of the mount secret/, with documents below keyturn/.
fill_secret() { # FILE PATH
  sed -e "s|\"secret/data/keyturn/\*\"|\"$documents/data/$folder/$kv/data/$2\"|" \
    -e "s|\"secret/\([a-z]*\)/app/\*\"|\"$kv/\1/$2\"|" -e "s|\"secret/config\"|\"$kv/config\"|" "$here/$1"
}
fill_pair() { # FILE BLUE/GREEN
  sed -e "s|DATABASE|$database|g" -e "s|DOCUMENTS|$documents|g" -e "s|FOLDER|$folder|g" -e "s|BLUE|${2%/*}|g" \
    -e "s|GREEN|${2#*/}|g" "$here/$1"
}
layout_of() { # SECRET
  case $1 in
    *:paths | *:fields | *:single | *:document) printf %s "${1##*:}" ;;
    *) printf document ;;
  esac
}
for_secrets() { # FILE [FILE where values are moved]
  for secret in $secrets; do
    layout=$(layout_of "$secret")
    path=${secret%:"$layout"}
    case $layout in
      fields | single) fill_secret "${2-$1}" "$path" ;;
      *) fill_secret "$1" "$path" ;;
    esac
    [ "$layout" != paths ] || for each in blue green; do fill_secret "$1" "$path/$each"; done
  done
}
for_pairs() { # FILE
  for pair in $pairs; do fill_pair "$1" "$pair"; done
}
write_policy() { # NAME; the policy comes in, and is never empty
  { echo "# Written by setup.sh of Keyturn." && cat; } | "$cli" policy write "$name-$1" -
}
mounted() { # auth|secrets PATH
  "$cli" "$1" list -format=json | grep -q "\"$2/\""
}
new_kv() { # PATH
  "$cli" secrets enable -path="$1" -version=2 kv
  # A new mount is upgraded in the background for a moment.
  until "$cli" write "$1/config" cas_required=true >/dev/null 2>&1; do sleep 0.2; done
}

[ $# -eq 0 ] || mounted secrets "$transit" || "$cli" secrets enable -path="$transit" transit
mounted secrets "$documents" || new_kv "$documents"
"$cli" write "$documents/config" cas_required=true
# Applications may write to a mount that is there already: whether they compare is theirs to say.
[ -z "$secrets" ] || mounted secrets "$kv" || new_kv "$kv"
[ -z "$pairs" ] || mounted secrets "$database" || "$cli" secrets enable -path="$database" database
mounted auth approle || "$cli" auth enable approle

{
  fill driver.hcl
  [ $# -eq 0 ] || fill transit-driver.hcl
  for_secrets kv-driver.hcl kv-fields-driver.hcl
  for_pairs database-driver.hcl
} | write_policy driver
{
  [ $# -eq 0 ] || fill transit-fence.hcl
  for_pairs database-once.hcl
} | write_policy fence
{
  [ $# -eq 0 ] || fill transit-destroyer.hcl
  for_secrets kv-destroyer.hcl
} | write_policy destroyer
{
  cat "$here/self.hcl"
  for key in "$@"; do fill transit-probe.hcl "$key"; done
  for_pairs database-probe.hcl
} | write_policy probe

"$cli" write "auth/token/roles/$name-fence" token_type=service token_num_uses=1 orphan=true renewable=false \
  token_no_default_policy=true token_explicit_max_ttl=30s "allowed_policies=$name-fence"

umask 077
mkdir -p "$out"
for who in driver probe; do
  "$cli" write "auth/approle/role/$name-$who" "token_policies=$name-$who" token_no_default_policy=true token_ttl=20m token_max_ttl=24h
  "$cli" write -f -field=secret_id "auth/approle/role/$name-$who/secret-id" >"$out/$who.secret-id"
done

cat <<END
# For the file that KEYTURN_BACK_ENDS names:
servers:
  $name:
    address: ${BAO_ADDR:-${VAULT_ADDR:-https://127.0.0.1:8200}}
    documents: { mount: $documents, folder: $folder }
    login: { kind: approle, roleId: $("$cli" read -field=role_id "auth/approle/role/$name-driver/role-id"), secretIdFile: $out/driver.secret-id }
    probe: { kind: approle, roleId: $("$cli" read -field=role_id "auth/approle/role/$name-probe/role-id"), secretIdFile: $out/probe.secret-id }
    fence: { role: $name-fence, policies: [$name-fence] }
backEnds:
END
[ $# -eq 0 ] || echo "  - { instance: vault.$name, server: $name, engine: transit }"
for layout in document paths fields single; do
  for secret in $secrets; do
    [ "$(layout_of "$secret")" = "$layout" ] || continue
    [ "$layout" = document ] && called=kv || called=kv-$layout
    echo "  - { instance: vault.$name-$called, server: $name, engine: kv, layout: $layout }"
    break
  done
done
if [ -n "$pairs" ]; then
  ca=${DB_CA_FILE:+, caFile: $DB_CA_FILE}
  cat <<END
  - instance: vault.$name-db
    server: $name
    engine: database
    connections:
      ${DB_CONNECTION:-main}: { kind: postgresql, host: $DB_HOST, port: ${DB_PORT:-5432}, database: $DB_NAME$ca }
END
fi
