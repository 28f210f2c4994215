#!/bin/sh
# Installs what the program needs in production, and the packages of the key providers named in the first argument, into the
# working directory, in the versions of its package.json and package-lock.json. It changes package.json: for images.
#   install-dependencies.sh "aws-kms gcp-kms pkcs11"
set -eu

packages=
for provider in $1; do
  case $provider in
    aws-kms) needs=@aws-sdk/client-kms ;;
    gcp-kms) needs=@google-cloud/kms ;;
    pkcs11) needs='pkcs11js koffi' ;;
    local-keystore) continue ;;
    *)
      echo "install-dependencies.sh: there is no key provider $provider, only aws-kms, gcp-kms, pkcs11, local-keystore" >&2
      exit 1
      ;;
  esac
  for package in $needs; do
    version=$(node -p "
      const { devDependencies, optionalDependencies } = JSON.parse(fs.readFileSync('package.json'));
      ({ ...devDependencies, ...optionalDependencies })['$package']")
    packages="$packages $package@$version"
  done
done

npm ci --omit=dev --omit=optional --no-audit --no-fund
# what is optional or for development there is a dependency here
npm pkg delete devDependencies optionalDependencies peerDependencies peerDependenciesMeta
[ -z "$packages" ] || npm install --save-exact --no-audit --no-fund $packages
