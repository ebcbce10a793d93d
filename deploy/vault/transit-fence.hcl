# A token for one request of one attempt: the three that change a key. No trim, no deletion, nothing that makes a key exportable.
# Where others make the keys, leave out the first path.
path "TRANSIT/keys/+" {
  capabilities        = ["update"]
  allowed_parameters  = { "type" = ["rsa-2048", "ecdsa-p256", "ed25519"] }
  required_parameters = ["type"]
}
path "TRANSIT/keys/+/rotate" {
  capabilities = ["update"]
}
path "TRANSIT/keys/+/config" {
  capabilities        = ["update"]
  allowed_parameters  = { "min_decryption_version" = [], "min_encryption_version" = [] }
  required_parameters = ["min_decryption_version", "min_encryption_version"]
}
