# A service that signs with KEY, and only with the versions named here: VERSIONS is such as "3", "4", transit's own numbers ("engine" in
# the document below). It must send key_version, as a string; batches are refused. It reads which version to sign with.
path "TRANSIT/sign/KEY" {
  capabilities        = ["update"]
  allowed_parameters  = { "key_version" = [VERSIONS], "input" = [], "signature_algorithm" = [], "hash_algorithm" = [], "marshaling_algorithm" = [], "salt_length" = [] }
  required_parameters = ["key_version", "input"]
}
path "DOCUMENTS/data/FOLDER/TRANSIT/keys/KEY" {
  capabilities = ["read"]
}
