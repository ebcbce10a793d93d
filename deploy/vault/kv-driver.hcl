# What Keyturn may do where it drives secrets of KV v2 in a layout that is never read back: the keyed document and the two paths.
# Put your own mount in the place of `secret` and your own folder in the place of `app`; one stanza of each kind for every mount.
# No value can be read with this policy: `data` has no `read`. Writing by compare-and-set needs none.

# How many versions the mount keeps, and whether it deletes them by itself.
path "secret/config" {
  capabilities = ["read"]
}

# Versions and their times; names without values.
path "secret/metadata/app/*" {
  capabilities = ["read"]
}
path "secret/subkeys/app/*" {
  capabilities = ["read"]
}

# `options` must be sent, but the server does not look into it here: set `cas_required` on the mount as well.
path "secret/data/app/*" {
  capabilities        = ["create", "update", "patch"]
  required_parameters = ["options", "data"]
}

# Keyturn's own record of each object: what is accepted and emits, the fence, the newest rows of its ledger. No value is in it.
# No `required_parameters` beside `read`: a server asks a read for them, too, and refuses it.
path "secret/data/keyturn/*" {
  capabilities = ["create", "read", "update"]
}

# Its own token: how long it lives, and a longer life; what it may do, for keyturn doctor.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
