#!/bin/sh
# Serves the development token to other containers: PKCS#11 calls over a Unix socket, by p11-kit. Entry point of the
# container. TOKEN_STORE keeps the token, SOCKET is where clients connect.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
store=${TOKEN_STORE:-/var/lib/livepeer-token}
socket=${SOCKET:-/run/livepeer-token/p11-kit.sock}

sh "$here/init-token.sh" "$store"
rm -f "$socket"
SOFTHSM2_CONF=$store/softhsm2.conf
XDG_RUNTIME_DIR=$(dirname -- "$socket")
export SOFTHSM2_CONF XDG_RUNTIME_DIR
exec p11-kit server --foreground --name "$socket" \
  --provider "${MODULE:-/usr/lib/softhsm/libsofthsm2.so}" 'pkcs11:token=livepeer'
