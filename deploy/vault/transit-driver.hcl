# Keyturn's own login looks at keys and keeps their documents; driver.hcl goes with it. By itself it turns nothing.
path "TRANSIT/keys/+" {
  capabilities = ["read"]
}
# No required_parameters: they would be asked of a read, too. That every write compares is the mount's own rule (cas_required).
path "DOCUMENTS/data/FOLDER/TRANSIT/keys/*" {
  capabilities = ["create", "update", "read"]
}
