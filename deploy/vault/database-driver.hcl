# Keyturn's own login sees the two roles of a pair and keeps the pair's document; driver.hcl goes with it. It turns nothing by itself and
# never sees a password.
path "DATABASE/static-roles/BLUE" {
  capabilities = ["read"]
}
path "DATABASE/static-roles/GREEN" {
  capabilities = ["read"]
}
# No required_parameters: they would be asked of a read, too. That every write compares is the mount's own rule (cas_required).
path "DOCUMENTS/data/FOLDER/DATABASE/static-roles/BLUE/GREEN" {
  capabilities = ["create", "update", "read"]
}
