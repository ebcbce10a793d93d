# A token for one request of one attempt: it turns one of the two roles, once. The driver asks for it by the token role of setup.sh.
path "DATABASE/rotate-role/BLUE" {
  capabilities = ["update"]
}
path "DATABASE/rotate-role/GREEN" {
  capabilities = ["update"]
}
