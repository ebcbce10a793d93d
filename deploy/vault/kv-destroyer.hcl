# What the approver of a destruction hands to Keyturn for one request: it deletes versions for good and can do nothing else. The driver
# has no such right, and proves from the metadata what became of them.

path "secret/destroy/app/*" {
  capabilities        = ["update"]
  required_parameters = ["versions"]
}

# Keyturn ends it once it has done what it was for.
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
