# The driver of database pairs: Keyturn's own token. It sees the roles, keeps the objects' documents, and asks for tokens that are good for
# one request. It turns nothing by itself and never sees a password.
# Mounts: database/ (the secrets engine), secret/ (KV v2, cas_required), with the documents under keyturn/.

path "database/static-roles/+" {
  capabilities = ["read"]
}

# No required_parameters: they would be asked of a read as well, and refuse it. cas_required of the mount does what they are for.
path "secret/data/keyturn/database/static-roles/+/+" {
  capabilities = ["create", "update", "read"]
}

# Without the lines on its parameters it could ask for one that lives for 32 days.
path "auth/token/create/keyturn-database" {
  capabilities        = ["update"]
  allowed_parameters  = { "ttl" = [], "policies" = [] }
  required_parameters = ["ttl"]
}

path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}
