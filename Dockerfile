# The program in an image of its own: no shell, no package manager, no root. What the last stage holds is made by `packaging/build
# rootfs`, which also runs without an engine: `packaging/check container`.
#
#     docker build -t convex-archiver .

ARG RUST=1.95.0

# A release's workflow puts the programs that it has built and tested in the place of this stage (--build-context program=DIR).
FROM rust:${RUST}-bookworm AS program
ARG TARGETARCH
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN packaging/build binary --output "/${TARGETARCH}"

# glibc is this image's.
FROM python:3.13-slim-bookworm AS rootfs
ARG TARGETARCH
WORKDIR /source
COPY Cargo.toml LICENSE-APACHE LICENSE-MIT ./
COPY packaging packaging
COPY --from=program "/${TARGETARCH}/convex-archiver" /program/convex-archiver
RUN packaging/build rootfs --binary /program/convex-archiver --output /rootfs

FROM scratch
COPY --from=rootfs /rootfs /
USER 65534:65534
ENTRYPOINT ["/convex-archiver"]
