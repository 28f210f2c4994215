# The signer. Which key providers are in it beside local-keystore is chosen when it is built:
#   docker build --build-arg PROVIDERS="aws-kms" -t livepeer-hsm-signer .
# The exact version that the tests run with.
ARG NODE=24.21.0-bookworm

FROM node:${NODE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src src
COPY plugins plugins
RUN npm run build

# pkcs11js is compiled here: this image has Python and a C++ compiler, the final one has not
FROM node:${NODE} AS dependencies
ARG PROVIDERS="aws-kms gcp-kms pkcs11"
WORKDIR /app
COPY package.json package-lock.json docker/install-dependencies.sh ./
RUN sh install-dependencies.sh "${PROVIDERS}"

FROM node:${NODE}-slim
ARG PROVIDERS="aws-kms gcp-kms pkcs11"
COPY docker/install-p11-kit.sh /tmp/
RUN sh /tmp/install-p11-kit.sh "${PROVIDERS}" && rm /tmp/install-p11-kit.sh
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin signer \
  && install -d -o signer -g signer -m 0700 /var/lib/livepeer-hsm-signer
VOLUME /var/lib/livepeer-hsm-signer
WORKDIR /app
ENV NODE_ENV=production
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY bin bin
COPY package.json LICENSE ./
COPY docker/healthcheck.mjs docker/
# compiled once here, since the signer's user may not write there
RUN node bin/livepeer-hsm-signer.js --version
USER signer
EXPOSE 7936
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["node", "/app/docker/healthcheck.mjs"]
ENTRYPOINT ["node", "--max-semi-space-size=16", "/app/bin/livepeer-hsm-signer.js"]
CMD ["serve", "--config", "/etc/livepeer-hsm-signer/signer.yaml", "--listen", "0.0.0.0:7936"]
