# syntax=docker/dockerfile:1
# The service in an image of one binary: no shell, no package manager, not root.

# The same Debian as the last stage's, or the binary would ask for a newer C library than is there.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock build.rs ./
COPY .cargo .cargo
COPY proto proto
COPY src src
# The dependencies stay built between builds in BuildKit's caches; the binary is copied out, since a cache is no layer.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin upistream \
    && install -D target/release/upistream /out/upistream \
    && install -d -o 65532 -g 65532 /out/state

# With the certificates of public authorities, which calls to providers need.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/upistream /upistream
# Where a trial without a configuration keeps its files; the chart mounts a volume here.
COPY --from=build --chown=65532:65532 /out/state /var/lib/upistream
WORKDIR /var/lib/upistream
USER 65532:65532
# gRPC, webhooks, admin.
EXPOSE 50051 8080 9090
ENTRYPOINT ["/upistream"]
CMD ["serve"]
