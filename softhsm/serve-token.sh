#!/bin/sh
# Serves the development token to other containers: PKCS#11 calls over a Unix socket, by p11-kit. Entry point of the
# container. TOKEN_STORE keeps the token, SOCKET is where clients connect; beside it they find the PIN in the file `pin`.
# The socket and the PIN are for processes of the same user id.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
store=${TOKEN_STORE:-/var/lib/livepeer-token}
socket=${SOCKET:-/run/livepeer-token/p11-kit.sock}

sh "$here/init-token.sh" "$store"
rm -f "$socket"
XDG_RUNTIME_DIR=$(dirname -- "$socket")
SOFTHSM2_CONF=$store/softhsm2.conf
export SOFTHSM2_CONF XDG_RUNTIME_DIR
install -m 400 "$store/pin" "$XDG_RUNTIME_DIR/pin"
exec p11-kit server --foreground --name "$socket" \
  --provider "${MODULE:-/usr/lib/softhsm/libsofthsm2.so}" 'pkcs11:token=livepeer'
