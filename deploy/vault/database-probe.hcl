# The probe of database pairs: it reads the passwords it logs in with, and changes nothing. Name the roles of your pairs instead of the
# plus sign where other roles share the mount.

path "database/static-creds/+" {
  capabilities = ["read"]
}
