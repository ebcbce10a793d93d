# The probe reads the passwords it logs in with, and changes nothing.
path "DATABASE/static-creds/BLUE" {
  capabilities = ["read"]
}
path "DATABASE/static-creds/GREEN" {
  capabilities = ["read"]
}
