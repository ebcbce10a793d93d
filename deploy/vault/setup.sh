#!/bin/sh
# Sets up a Vault or OpenBao for Keyturn's transit back end, with the policies beside this file and nothing more. May be run again.
#
#   BAO_ADDR=… BAO_TOKEN=… ./setup.sh OUT KEY…          (or VAULT_ADDR, VAULT_TOKEN; a token that may write policies and mounts)
#
# OUT is a folder for the two secret ids (mode 0600). KEY… are the names of the keys Keyturn drives. The settings below are taken from
# the environment where it has them.
set -eu
if [ $# -lt 2 ]; then
  sed -n '2,7p' "$0"
  exit 2
fi
out=$1
shift
name=${NAME:-keyturn}
transit=${TRANSIT:-transit}
documents=${DOCUMENTS:-keyturn}
folder=${FOLDER:-objects}
cli=${CLI:-$(command -v bao || command -v vault)}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

fill() { # FILE [KEY]
  canary=$(printf 'keyturn canary\n%s/keys/%s' "$transit" "${2-}" | openssl dgst -sha256 -binary | openssl base64 -A)
  sed -e "s|TRANSIT|$transit|g" -e "s|DOCUMENTS|$documents|g" -e "s|FOLDER|$folder|g" -e "s|NAME|$name|g" \
    -e "s|KEY|${2-}|g" -e "s|CANARY|$canary|g" "$here/$1"
}
mounted() { # auth|secrets PATH
  "$cli" "$1" list -format=json | grep -q "\"$2/\""
}

mounted secrets "$transit" || "$cli" secrets enable -path="$transit" transit
mounted secrets "$documents" || "$cli" secrets enable -path="$documents" -version=2 kv
# A new mount is upgraded in the background for a moment.
until "$cli" write "$documents/config" cas_required=true >/dev/null 2>&1; do sleep 0.2; done
mounted auth approle || "$cli" auth enable approle

fill transit-driver.hcl | "$cli" policy write "$name-driver" -
fill transit-fence.hcl | "$cli" policy write "$name-fence" -
fill transit-destroyer.hcl | "$cli" policy write "$name-destroyer" -
{
  cat "$here/self.hcl"
  for key in "$@"; do fill transit-probe.hcl "$key"; done
} | "$cli" policy write "$name-probe" -

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
  - { instance: vault.$name, server: $name, engine: transit }
END
