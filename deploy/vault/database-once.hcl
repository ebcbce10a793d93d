# What a token for one request may do: turn a role, once. Made by the driver from a token role (docs/vault.md):
#   bao write auth/token/roles/keyturn-database token_type=service token_num_uses=1 orphan=true renewable=false \
#     token_no_default_policy=true token_explicit_max_ttl=60s allowed_policies=keyturn-database-once

path "database/rotate-role/+" {
  capabilities = ["update"]
}
