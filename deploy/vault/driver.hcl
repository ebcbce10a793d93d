# Keyturn's own login, whatever it drives: it asks for tokens that are good for one request. What it may look at and keep is in the files
# of the engines.
# Whether check-and-set is required on the mount: keyturn doctor says so.
path "DOCUMENTS/config" {
  capabilities = ["read"]
}
# Exactly the life that Keyturn asks for; one use and the policies are the role's own.
path "auth/token/create/NAME-fence" {
  capabilities        = ["update"]
  allowed_parameters  = { "ttl" = ["20s"], "policies" = [] }
  required_parameters = ["ttl"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
# What its own tokens may do, for keyturn doctor: one that is good for one request cannot ask for itself.
path "sys/capabilities" {
  capabilities = ["update"]
}
path "sys/capabilities-self" {
  capabilities = ["update"]
}
