# Asks whether a withdrawn version is really refused. It signs and verifies one canary of each key, which is no token and no part of one:
# CANARY is the base64 of the SHA-256 of "keyturn canary", a line feed and "TRANSIT/keys/KEY".
path "TRANSIT/sign/KEY" {
  capabilities        = ["update"]
  allowed_parameters  = { "input" = ["CANARY"], "key_version" = [], "signature_algorithm" = [], "hash_algorithm" = [] }
  required_parameters = ["input", "key_version"]
}
path "TRANSIT/verify/KEY" {
  capabilities        = ["update"]
  allowed_parameters  = { "input" = ["CANARY"], "signature" = [], "signature_algorithm" = [], "hash_algorithm" = [] }
  required_parameters = ["input", "signature"]
}
