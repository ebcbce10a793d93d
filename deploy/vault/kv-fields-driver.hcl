# What Keyturn may do where it drives secrets of KV v2 in the layouts `current`/`previous` and one single value: moving a value from one
# field to another means reading it, so that `data` has `read` here. Give it to folders laid out so and to no other one
# (kv-driver.hcl is for those). Put your own mount in the place of `secret` and your own folder in the place of `app`.

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

# No `required_parameters` beside `read`: a server asks a read for them, too, and refuses it. Set `cas_required` on the mount.
path "secret/data/app/*" {
  capabilities = ["create", "read", "update", "patch"]
}

# Keyturn's own record of each object: what is accepted and emits, the fence, the newest rows of its ledger. No value is in it.
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
