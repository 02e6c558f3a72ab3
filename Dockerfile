# For those who have Docker: `docker build -t ghcr.io/sluice-dev/sluice:0.1.0 .`
# Without it: `sluice image sluice --output sluice.tar` makes an image of the same kind.

FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Paths of the machine do not get into the binary; libraries do, so that it needs none.
ENV RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=/src=sluice --remap-path-prefix=/usr/local/cargo=cargo"
RUN host=$(rustc -vV | sed -n 's/^host: //p') \
 && cargo build --release --locked --package sluice --bin sluice --target $host \
 && mv target/$host/release/sluice /sluice \
 && /sluice image sluice --binary /sluice --output /tmp/sluice.tar --sbom /sbom.cdx.json

# No shell, no package manager, no library: the certificates of the public authorities, and a user without rights.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /sluice /usr/local/bin/sluice
COPY --from=build /sbom.cdx.json /usr/share/sluice/sbom.cdx.json
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/sluice"]
CMD ["--help"]
