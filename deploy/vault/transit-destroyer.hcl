# Deletes old versions for good. Never Keyturn's own: whoever approves a destruction has a login with it.
path "TRANSIT/keys/+/trim" {
  capabilities        = ["update"]
  allowed_parameters  = { "min_available_version" = [] }
  required_parameters = ["min_available_version"]
}

# Keyturn ends it once it has done what it was for.
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
