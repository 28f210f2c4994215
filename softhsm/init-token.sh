#!/bin/sh
# Makes a SoftHSM token "livepeer" with a secp256k1 key "payer" for development, in a folder of its own
# (.dev/softhsm, or the first argument). May be run again: what is there stays. Installs nothing.
set -eu
umask 077

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
store=${1:-$root/.dev/softhsm}
token=livepeer

fail() {
  echo "init-token.sh: $1" >&2
  exit 1
}

command -v softhsm2-util >/dev/null ||
  fail 'softhsm2-util is missing; install SoftHSM 2 (Debian, Ubuntu: apt-get install softhsm2; macOS: brew install softhsm)'

mkdir -p "$store/tokens"
store=$(CDPATH='' cd -- "$store" && pwd)
SOFTHSM2_CONF=$store/softhsm2.conf
export SOFTHSM2_CONF
escaped=$(printf '%s' "$store/tokens" | sed 's/[&|\\]/\\&/g')
sed "s|@TOKENS@|$escaped|" "$root/softhsm/softhsm2.conf" >"$SOFTHSM2_CONF"

random_digits() {
  od -An -N16 -tu4 /dev/urandom | tr -dc 0-9 | cut -c1-16
}

if ! softhsm2-util --show-slots | grep -Eq "^ +Label: +$token *\$"; then
  [ -s "$store/pin" ] || random_digits >"$store/pin"
  # The security officer's PIN is thrown away: a development token is made anew rather than repaired.
  softhsm2-util --init-token --free --label "$token" \
    --pin "$(cat "$store/pin")" --so-pin "$(random_digits)" >/dev/null ||
    fail "the token could not be made in $store"
  echo "made the token $token in $store"
fi
[ -s "$store/pin" ] || fail "$store/pin is missing; remove $store to start again"

if [ "$store" != "$root/.dev/softhsm" ]; then
  echo "the token is ready; in your configuration set environment.SOFTHSM2_CONF to $SOFTHSM2_CONF"
  echo "and pin to file:$store/pin, then run: npm run -s signer -- keys new --config FILE"
  exit 0
fi

signer() {
  PATH="$root/node_modules/.bin:$PATH" node "$root/src/cli/livepeer-hsm-signer.ts" "$@" \
    --config "$root/config/softhsm.yaml"
}

if ! answer=$(signer keys show 2>&1); then
  case $answer in
    *'[KEY_NOT_FOUND]'*) answer=$(signer keys new) || fail 'the key could not be made' ;;
    *) fail "the key could not be read (did you run npm ci?): $answer" ;;
  esac
fi
echo "$answer"
echo 'next: npm start -- --config config/softhsm.yaml'
echo '  or: npm run demo -- --config config/softhsm.yaml'
